import json
import logging
import pickle
import threading

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from tiny_models import ALL_KINDS, TRIMMED, clip_config, save_clip

from spacy_dwe.encoders import clip_encoder, encoder_from_spec
from spacy_dwe.encoders.clip import ClipEncoder
from spacy_dwe.encoders.protocol import MentionText
from spacy_dwe.errors import DweError

TEXTS = [
    "London",
    "Paris is a rival of London.",
    "",
    "a" * 200,
    "a country at the crossroads of Europe and Asia, " * 6,
    "Córdoba — Кордова",
]


def load(folder, **options):
    return ClipEncoder({"model": f"local-dir:{folder}"}, device="cpu", **options)


def untouched(folder, texts):
    """What open_clip itself says, on rows of full length."""
    name = f"local-dir:{folder}"
    model = open_clip.create_model(name).eval()
    with torch.inference_mode():
        ids = open_clip.get_tokenizer(name)(texts)
        return model.encode_text(ids, normalize=True).numpy()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_texts_are_encoded_as_open_clip_does(clip, clip_folder, kind):
    encoder = clip(kind)
    assert encoder._tower.is_trimmable == (kind in TRIMMED)
    expected = untouched(clip_folder(kind), TEXTS)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)


def test_a_tokenizer_is_shared_by_models_that_have_the_same(tmp_path):
    config = clip_config("clip")
    for name, length in (("a", 24), ("b", 24), ("short", 8)):
        config["text_cfg"]["context_length"] = length
        save_clip(tmp_path / name, config)
    a, b, short = (load(tmp_path / name)._tokens for name in ("a", "b", "short"))
    assert a._tokenizer is b._tokenizer
    assert (a.context_length, short.context_length) == (24, 8)
    assert len(short(["London"])[0]) == 8


@pytest.mark.parametrize("kind", ["siglip", "clip_last", "coca"])
def test_trimming_would_be_wrong_for_the_other_towers(clip, kind):
    """The reason for the exception: cut rows give other vectors."""
    encoder = clip(kind)
    with torch.inference_mode():
        ids = encoder._tokens(["London"])
        full, _ = encoder._tower(ids)
        cut, _ = encoder._tower(ids[:, :4])
    assert (full - cut).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_text_does_not_depend_on_its_batch(clip, kind):
    encoder = clip(kind)
    together = encoder.encode_texts(TEXTS)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    shuffled = encoder.encode_texts([*TEXTS[::-1], TEXTS[0]])
    np.testing.assert_allclose(shuffled[:-1], together[::-1], atol=1e-5)
    np.testing.assert_array_equal(shuffled[-1], shuffled[-2])


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_mentions_have_states_and_know_which_are_theirs(clip, kind):
    encoder = clip(kind)
    text = "Paris is a rival of London."
    start = text.index("London")
    first, last, again = encoder.encode_mentions(
        [
            MentionText(text, 0, 5),
            MentionText(text, start, start + 6),
            MentionText(text, 0, 5),
        ]
    )
    assert again is first
    np.testing.assert_allclose(first.pooled, encoder.encode_texts([text])[0], atol=1e-5)
    assert first.states.shape == last.states.shape
    assert first.states.shape[1] == encoder.width
    pieces = encoder._tokens._pieces
    assert first.mention == slice(0, len(pieces("Paris")))
    n_states = len(pieces(text))
    assert first.states.shape[0] == n_states
    assert last.mention == slice(n_states - 1 - len(pieces("London")), n_states - 1)
    # States come after the tower's final norm, which has unit scale at the start.
    np.testing.assert_allclose(first.states.std(axis=1), 1.0, atol=1e-3)


def test_states_are_those_of_the_whole_row(clip):
    encoder = clip("clip")
    ids = encoder._tokens(["London won"])
    with torch.inference_mode():
        _, full = encoder._tower(ids)
    (mention,) = encoder.encode_mentions([MentionText("London won", 0, 6)])
    np.testing.assert_allclose(mention.states, full[0, 1:3].numpy(), atol=1e-5)


def test_a_long_context_is_cut_around_the_mention(clip):
    encoder = clip("clip")
    context = "before " * 100 + "London" + " behind" * 100
    start = context.index("London")
    mention = MentionText(context, start, start + 6)
    content, rows = encoder._tokens.around(mention)
    assert len(content) == encoder._tokens.budget == 22
    assert content[rows] == encoder._tokens._pieces("London")
    assert 8 <= rows.start <= 12
    (features,) = encoder.encode_mentions([mention])
    assert len(features.states) == 22 and features.mention == rows


@pytest.mark.parametrize("before, behind", [(0, 100), (100, 0), (3, 100), (100, 3)])
def test_a_short_side_gives_its_place_to_the_other(clip, before, behind):
    encoder = clip("clip")
    context = "before " * before + "London" + " behind" * behind
    start = context.index("London")
    content, rows = encoder._tokens.around(MentionText(context, start, start + 6))
    assert len(content) == 22
    assert rows.start == {0: 0, 3: 3}.get(before, 21 - behind)


@pytest.mark.parametrize(
    "context, start, end",
    [("", 0, 0), ("   ", 0, 3), ("a \u200b b", 2, 3), ("x" * 3000, 0, 3000)],
)
@pytest.mark.parametrize("kind", ["clip", "siglip", "coca"])
def test_odd_mentions_have_at_least_one_row(clip, kind, context, start, end):
    (features,) = clip(kind).encode_mentions([MentionText(context, start, end)])
    assert len(features.states[features.mention]) >= 1
    assert np.isfinite(features.states).all() and np.isfinite(features.pooled).all()


@pytest.mark.parametrize("kind", ["clip", "siglip", "coca"])
def test_pictures(clip, clip_folder, kind):
    encoder = clip(kind)
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (1, 1), (10_000, 3), (3, 10_000), (64, 64)]
    images = [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]
    finished = []
    vectors = encoder.encode_images(images, progress=finished.append)
    assert vectors.shape == (5, encoder.dim) and vectors.dtype == np.float32
    assert sum(finished) == 5
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    _, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{clip_folder(kind)}"
    )
    with torch.inference_mode():
        pixels = preprocess(images[0]).unsqueeze(0)
        expected = encoder._model.encode_image(pixels, normalize=True)
    np.testing.assert_allclose(vectors[0], expected[0].numpy(), atol=1e-5)


def test_nothing_in_nothing_out(clip):
    encoder = clip("clip")
    assert encoder.encode_texts([]).shape == (0, 16)
    assert encoder.encode_mentions([]) == []
    assert encoder.encode_images([]).shape == (0, 16)


def test_progress_counts_every_text(clip_folder):
    finished = []
    load(clip_folder("clip"), batch_size=1).encode_texts(TEXTS * 3, finished.append)
    assert sum(finished) == len(TEXTS) * 3


def test_the_fingerprint_follows_the_weights_not_the_place(clip_folder, tmp_path):
    fingerprint = load(clip_folder("clip")).fingerprint
    moved = save_clip(tmp_path / "moved", clip_config("clip"))
    assert load(moved).fingerprint == fingerprint
    assert load(moved, batch_size=3).fingerprint == fingerprint
    other = save_clip(tmp_path / "other", clip_config("clip"), seed=1)
    assert load(other).fingerprint != fingerprint
    gelu = save_clip(tmp_path / "gelu", {**clip_config("clip"), "quick_gelu": True})
    assert load(gelu).fingerprint != fingerprint


def test_one_changed_weight_changes_the_fingerprint(clip_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_clip(tmp_path / "changed", clip_config("clip"))
    path = folder / "open_clip_model.safetensors"
    weights = load_file(path)
    weights["token_embedding.weight"][12_345, 3] += 1e-3
    save_file(weights, path)
    assert load(folder).fingerprint != load(clip_folder("clip")).fingerprint


def test_a_lazy_encoder_survives_pickle_and_threads(clip_folder):
    encoder = clip_encoder(f"local-dir:{clip_folder('clip')}", device="cpu")
    assert not encoder.is_loaded
    results = {}

    def work(name):
        results[name] = encoder.encode_texts(TEXTS)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert encoder.is_loaded
    np.testing.assert_array_equal(results[0], results[2])
    copy = pickle.loads(pickle.dumps(encoder))
    assert not copy.is_loaded
    assert copy.fingerprint == encoder.fingerprint
    again = encoder_from_spec(encoder.spec, device="cpu")
    np.testing.assert_allclose(again.encode_texts(TEXTS), results[0], atol=1e-6)


def test_a_forked_process_can_encode(clip_folder):
    import multiprocessing

    encoder = clip_encoder(f"local-dir:{clip_folder('clip')}", device="cpu")
    expected = encoder.encode_texts(TEXTS)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (found,) = pool.map(encoder.encode_texts, [TEXTS])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_by_file(clip_folder, tmp_path):
    config = tmp_path / "tiny-clip-by-file.json"
    config.write_text(json.dumps(clip_config("clip")))
    open_clip.add_model_config(config)
    weights = clip_folder("clip") / "open_clip_model.safetensors"
    encoder = clip_encoder("tiny-clip-by-file", str(weights), device="cpu")
    expected = load(clip_folder("clip")).encode_texts(TEXTS)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-6)


@pytest.mark.parametrize(
    "model, pretrained, message",
    [
        ("ViT-B-23", "openai", r"E213.*ViT-B-32"),
        ("ViT-B-32", None, r"E210.*laion2b_s34b_b79k.*local-dir"),
        ("ViT-B/32", "no-such-tag", r"E211.*no-such-tag.*local-dir"),
        ("ViT-B-32", "/nowhere/weights.pt", r"E211.*/nowhere/weights\.pt"),
        ("local-dir:/nowhere", None, r"E212.*/nowhere is no folder"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_clear_error(model, pretrained, message):
    encoder = clip_encoder(model, pretrained, device="cpu")
    with pytest.raises(DweError, match=message) as error:
        encoder.encode_texts(["London"])
    assert "\n" not in str(error.value)


def test_a_folder_without_weights_is_not_filled_with_random_ones(tmp_path):
    folder = save_clip(tmp_path / "empty", clip_config("clip"))
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(DweError, match=r"E212.*empty"):
        load(folder)


def test_loading_leaves_the_root_logger_alone(clip_folder):
    handlers, filters = logging.root.handlers[:], logging.root.filters[:]
    load(clip_folder("clip"))
    assert (logging.root.handlers, logging.root.filters) == (handlers, filters)


def test_unknown_settings_are_named(clip_folder):
    with pytest.raises(DweError, match=r"E226.*fp8"):
        load(clip_folder("clip"), precision="fp8")
    with pytest.raises(DweError, match=r"E226.*abacus"):
        ClipEncoder({"model": f"local-dir:{clip_folder('clip')}"}, device="abacus")
    with pytest.raises(DweError, match=r"E225"):
        encoder_from_spec({"@misc": "spacy-dwe.Nothing.v1"})
    with pytest.raises(DweError, match=r"E225.*colour"):
        encoder_from_spec({"@misc": "spacy-dwe.ClipEncoder.v1", "colour": "red"})


def test_loading_leaves_random_numbers_alone(clip_folder):
    """Else a training run would hang on whether a cache spared it the loading."""
    encoder = clip_encoder(f"local-dir:{clip_folder('clip')}", device="cpu")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert encoder.dim and encoder.is_loaded
    assert torch.equal(torch.rand(3), expected)
