import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny_models import save_bert

from spacy_dwe.encoders import encoder_from_spec, text_encoder
from spacy_dwe.encoders.protocol import MentionText
from spacy_dwe.errors import DweError

TEXTS = ["Georgia", "london is the rival of paris.", "", "a, b, c " * 40, "Кордова"]


@pytest.fixture(scope="module")
def encoder(bert_folder):
    return text_encoder(str(bert_folder), device="cpu", max_tokens=24, batch_size=2)


def pooled_by_hand(folder, text, pooling, max_tokens=24):
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(
        text, truncation=True, max_length=max_tokens, return_tensors="pt"
    )
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    vector = {
        "mean": states.mean(0),
        "cls": states[0],
        "max": states.amax(0),
        "lasttoken": states[-1],
    }[pooling]
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
def test_pooling_ignores_padding(bert_folder, pooling):
    encoder = text_encoder(
        str(bert_folder), device="cpu", max_tokens=24, pooling=pooling
    )
    vectors = encoder.encode_texts(TEXTS)
    for text, vector in zip(TEXTS, vectors):
        expected = pooled_by_hand(bert_folder, text, pooling)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_a_text_does_not_depend_on_its_batch(encoder):
    together = encoder.encode_texts([*TEXTS, TEXTS[0]])
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together[:-1], alone, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[-1])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_mentions_have_states_and_know_which_are_theirs(encoder):
    text = "paris is the rival of georgia"
    first, last = encoder.encode_mentions(
        [MentionText(text, 0, 5), MentionText(text, 22, 29)]
    )
    np.testing.assert_allclose(first.pooled, encoder.encode_texts([text])[0], atol=1e-5)
    assert first.states.shape == (6, encoder.width)
    assert (first.mention, last.mention) == (slice(0, 1), slice(5, 6))


@pytest.mark.parametrize("before, behind", [(0, 100), (100, 0), (100, 100), (0, 0)])
def test_a_long_context_is_cut_around_the_mention(encoder, before, behind):
    context = "is " * before + "georgia" + " of" * behind
    start = 3 * before
    (features,) = encoder.encode_mentions([MentionText(context, start, start + 7)])
    n_tokens = min(22, before + 1 + behind)
    assert features.states.shape[0] == n_tokens == encoder.max_tokens - 2 or not before
    assert features.mention.stop - features.mention.start == 1
    cut = " ".join(
        "georgia" if i == features.mention.start else "is" if not behind else "of"
        for i in range(n_tokens)
    )
    if not (before and behind):
        expected = encoder.encode_texts([cut])[0]
        np.testing.assert_allclose(features.pooled, expected, atol=1e-5)


@pytest.mark.parametrize(
    "context, start, end",
    [("", 0, 0), ("   ", 0, 3), ("a \u200b b", 2, 3), ("x" * 900, 0, 900)],
)
def test_odd_mentions_have_at_least_one_row(encoder, context, start, end):
    (features,) = encoder.encode_mentions([MentionText(context, start, end)])
    assert len(features.states[features.mention]) >= 1
    assert np.isfinite(features.states).all()


def test_nothing_in_nothing_out(encoder):
    assert encoder.encode_texts([]).shape == (0, 32)
    assert encoder.encode_mentions([]) == []


def test_the_folder_says_how_to_pool(tmp_path):
    save_bert(tmp_path)
    (tmp_path / "1_Pooling").mkdir()
    config = tmp_path / "1_Pooling" / "config.json"
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))

    def pooling():
        encoder = text_encoder(str(tmp_path), device="cpu")
        encoder.encode_texts(["a"])
        return encoder._loaded.pooling

    mean = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    config.write_text(json.dumps({"word_embedding_dimension": 32, **mean}))
    assert pooling() == "mean"
    config.write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert pooling() == "cls"
    config.write_text(json.dumps({"pooling_mode": "max", "include_prompt": True}))
    assert pooling() == "max"
    config.write_text(json.dumps({**mean, "pooling_mode_cls_token": True}))
    with pytest.raises(DweError, match=r"E222.*mean_tokens"):
        pooling()
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(DweError, match=r"E222.*Dense"):
        pooling()


def test_the_fingerprint_follows_what_changes_a_vector(bert_folder, tmp_path):
    base = text_encoder(str(bert_folder), device="cpu").fingerprint
    same = text_encoder(str(save_bert(tmp_path)), device="cpu", batch_size=3)
    assert same.fingerprint == base
    for change in ({"pooling": "cls"}, {"max_tokens": 12}):
        assert text_encoder(str(tmp_path), device="cpu", **change).fingerprint != base
    other = save_bert(tmp_path, seed=1)
    assert text_encoder(str(other), device="cpu").fingerprint != base


def test_several_threads_can_share_an_encoder(encoder):
    mentions = [MentionText("paris is the rival of london " * n, 0, 5) for n in (1, 9)]
    expected = encoder.encode_mentions(mentions)

    def work(_):
        encoder.encode_texts(TEXTS)
        return encoder.encode_mentions(mentions)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(12)):
            for left, right in zip(found, expected):
                np.testing.assert_allclose(left.pooled, right.pooled, atol=1e-5)


def test_an_encoder_survives_pickle(encoder):
    copy = pickle.loads(pickle.dumps(encoder))
    assert not copy.is_loaded
    again = encoder_from_spec(encoder.spec, device="cpu")
    assert again.fingerprint == copy.fingerprint == encoder.fingerprint


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"name": "/nowhere/model"}, r"E221.*/nowhere/model.*folder"),
        ({"pooling": "median"}, "E226.*median"),
    ],
)
def test_mistakes_are_one_clear_error(bert_folder, settings, message):
    settings = {"name": str(bert_folder), "device": "cpu", **settings}
    with pytest.raises(DweError, match=message) as error:
        text_encoder(**settings).encode_texts(["a"])
    assert "\n" not in str(error.value)


def test_without_transformers_the_error_says_what_to_install(fresh_python):
    code = """
import sys
sys.modules["transformers"] = None
from spacy_dwe.encoders import text_encoder
from spacy_dwe.errors import DweError
try:
    text_encoder("some-model").encode_texts(["a"])
except DweError as error:
    print(error)
"""
    done = fresh_python(code)
    assert "DWE-E220" in done.stdout and "pip install spacy-dwe[text]" in done.stdout
