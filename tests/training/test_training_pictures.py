"""What training makes of pictures: the KB's own as queries, those of something else,
and the map that queries start from."""

import pickle
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import spacy
import torch
from columns import columns
from PIL import Image
from tiny_world import SMALL_MODEL, example, linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Entity
from spacy_dwe.kb.vectors.sets import SetName
from spacy_dwe.linking.mentions import Mention
from spacy_dwe.model.combiner import Combiner
from spacy_dwe.model.dwe import Refinement
from spacy_dwe.model.inputs import Pictures
from spacy_dwe.model.losses import Contrast, info_nce, n_pair, triplet
from spacy_dwe.training.fitting import fit_to_examples
from spacy_dwe.training.pictures import KBPictures, alone, with_other_pictures

DIM, N_LIGHTS, N_FACES = 48, 8, 60
IN_KB = 2
"""Lights that the KB's pictures are taken in; mentions' are in the others."""


@spacy.registry.misc("tests.LitFaces.v1")
class LitFaces:
    """A picture is a face by its red, and far more the light by its green, which is
    the same for all faces."""

    dim = DIM
    fingerprint = "lit faces"

    def __init__(self):
        self.spec = {"@misc": "tests.LitFaces.v1"}

    def encode_images(self, images, progress=None):
        return np.stack([_lit(*image.getpixel((0, 0))[:2]) for image in images])


@spacy.registry.misc("tests.FacesAlike.v1")
class FacesAlike(LitFaces):
    """All have much in common."""

    fingerprint = "faces alike"

    def __init__(self):
        self.spec = {"@misc": "tests.FacesAlike.v1"}

    def encode_images(self, images, progress=None):
        vectors = super().encode_images(images, progress) + 1 / np.sqrt(DIM)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _lit(face, light):
    own = np.random.default_rng(face).normal(size=DIM)
    shine = np.random.default_rng(1000 + light).normal(size=DIM)
    grain = np.random.default_rng((face, light)).normal(size=DIM)
    vector = own + 4.0 * shine + 0.3 * grain
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of all faces in all lights, and a KB where all have one name."""
    folder = tmp_path_factory.mktemp("faces")
    for face in range(N_FACES):
        for light in range(N_LIGHTS):
            picture = Image.new("RGB", (8, 8), (face, light, 0))
            picture.save(folder / f"{face}-{light}.png")
    entities = [
        Entity(
            f"F{face}",
            "Janus" if face else "Terminus",
            images=tuple(f"{face}-{light}.png" for light in range(IN_KB)),
        )
        for face in range(N_FACES)
    ]
    entities.append(Entity("single", "Janus", images=("1-0.png",)))
    kb = build_kb(
        entities,
        folder / "faces.kb",
        encoders={"faces": LitFaces()},
        image_root=folder,
    )
    return SimpleNamespace(folder=folder, kb=kb)


def mentions_of_faces(nlp, faces, lights, of=range(1, N_FACES)):
    return [
        example(
            nlp,
            "Janus spoke",
            ("Janus", f"F{face}"),
            picture=str(faces.folder / f"{face}-{light}.png"),
        )
        for face in of
        for light in lights
    ]


# The map that queries start from


def share_right(nlp, made):
    right = 0
    for each in made:
        doc = each.predicted.copy()
        doc.ents = [doc.char_span(0, 5, label="GOD")]
        best = nlp.get_pipe("dwe_linker")(doc).ents[0]._.kb_candidates[0]
        right += best.id == each.reference.ents[0].kb_id_
    return right / len(made)


def after_a_step(faces, *channels, **model):
    nlp = linking_pipeline(
        faces.kb.path,
        channels=["name", *channels, "dwe"],
        model={**SMALL_MODEL, "head": "linear", **model},
    )
    torch.manual_seed(0)
    # The faces asked for below are none of these.
    made = mentions_of_faces(nlp, faces, range(IN_KB, N_LIGHTS), of=range(1, 20))
    optimizer = nlp.initialize(lambda: made)
    optimizer.learn_rate = 1e-7
    nlp.update(made, sgd=optimizer)
    return nlp


def test_what_varies_among_training_pictures_of_an_entity_counts_less(faces):
    right = {}
    for fitted in (False, True):
        nlp = after_a_step(faces, fit_pictures=fitted)
        asked = mentions_of_faces(nlp, faces, range(IN_KB, N_LIGHTS), range(40, 50))
        right[fitted] = share_right(nlp, asked)
    assert right[True] > right[False] + 0.15


def test_a_map_starts_as_the_identity_and_leaves_padding_alone():
    vectors = torch.nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    vectors.requires_grad_()
    mapped = Refinement(4)(Pictures(vectors, mask))
    torch.testing.assert_close(mapped.vectors[mask], vectors[mask])
    mapped.mean().sum().backward()
    assert vectors.grad.isfinite().all()


def test_a_map_is_no_reason_against_entities_with_pictures(faces, tmp_path):
    """Where the KB's are not standardised, as of one an entity."""
    kb = build_kb(
        [
            Entity(f"F{face}", "Janus", images=(f"{face}-{face % N_LIGHTS}.png",))
            for face in range(N_FACES)
        ],
        tmp_path / "one.kb",
        encoders={"faces": FacesAlike()},
        image_root=faces.folder,
    )
    assert kb.vector_sets[SetName("image", "faces")].standard is None
    nlp = after_a_step(SimpleNamespace(kb=kb, folder=faces.folder))
    linker = nlp.get_pipe("dwe_linker")
    made = mentions_of_faces(nlp, faces, [3], of=range(40, 50))
    batch, _ = labelled(linker, made, other_pictures=0.0, kb_pictures=0.0)
    output = linker.network_shim.network.eval()(batch, linker.channels)
    said = output.scores.by_column[..., -1].mean()
    assert abs(said) < 1.0


def test_the_map_is_saved(faces, tmp_path):
    nlp = after_a_step(faces)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    own, loaded = (
        each.get_pipe("dwe_linker").network_shim.network.mention_encoder.refinements
        for each in (nlp, again)
    )
    assert not torch.equal(own["faces"].weight, torch.eye(DIM))
    torch.testing.assert_close(loaded["faces"].weight, own["faces"].weight)


# The KB's own pictures


@pytest.fixture
def linker(faces):
    return after_a_step(faces).get_pipe("dwe_linker")


def test_a_picture_of_the_kb_is_not_compared_with_itself(faces, linker):
    drawn, rows = KBPictures(faces.kb, ["faces"]).draw(40, linker.evidence.named)
    from spacy_dwe.model.inputs import MentionPlace

    batch = linker._collate(drawn, [MentionPlace()] * len(drawn), learns=True)
    entities = batch.entities["image@faces"]
    own = torch.stack([torch.from_numpy(m.pictures["faces"][0]) for m in drawn])
    position = (batch.rows == torch.from_numpy(rows)[:, None]).int().argmax(dim=1)
    cosines = entities.cosines(own).gather(1, position[:, None])
    assert (cosines < 0.98).all(), "the other picture of the same entity"
    assert entities.present.gather(1, position[:, None]).all()


def test_every_picture_of_entities_with_several_is_drawn(faces, linker):
    pictures = KBPictures(faces.kb, ["faces"])
    drawn, rows = pictures.draw(2000, linker.evidence.named)
    assert len(pictures) == N_FACES
    assert {*faces.kb.ids(np.unique(rows))} == {f"F{i}" for i in range(N_FACES)}
    assert len({m.itself["image@faces"] for m in drawn}) == IN_KB * N_FACES
    single = faces.kb.rows_of(["single"])[0]
    assert any(single in mention.rows for mention in drawn), "it is a namesake of them"


def test_a_kb_without_several_pictures_gives_none(tmp_path, faces, linker):
    kb = build_kb(
        [Entity("a", "Janus", images=("1-0.png",)), Entity("b", "Janus")],
        tmp_path / "few.kb",
        encoders={"faces": LitFaces()},
        image_root=faces.folder,
    )
    assert KBPictures(kb, ["faces"]).draw(5, linker.evidence.named)[0] == []
    assert KBPictures(kb, []).draw(5, linker.evidence.named)[0] == []


def test_a_picture_of_the_kb_is_a_document_of_its_name_to_modalities(faces, linker):
    drawn, _ = KBPictures(faces.kb, ["faces"]).draw(9, linker.evidence.named)
    for each in drawn:
        place = alone(each)
        (doc,) = place.docs
        named = doc.char_span(place.start, place.end).text
        assert doc.text == named == each.sentence in ("Janus", "Terminus")


def test_the_first_space_comes_first_whether_or_not_the_kb_has_pictures_in_it(
    faces, linker
):
    pictures = KBPictures(faces.kb, ["zebras", "faces"])
    for each in pictures.draw(3, linker.evidence.named)[0]:
        assert [*each.pictures] == ["zebras", "faces"] and not len(each.whole)


def test_a_trained_linker_is_copied_without_the_vectors_of_its_kb(faces, linker):
    vectors = faces.kb.vector_sets[SetName("image", "faces")]
    assert len(pickle.dumps(linker._training)) < vectors.array.nbytes


# Pictures of something else


def mention(text, *images):
    return Mention(0, "a document", 0, len(text), text, text, 0, images)


def test_mentions_get_pictures_of_each_other():
    torch.manual_seed(0)
    mentions = [mention(str(i), f"{i % 3}.png") for i in range(300)]
    mentions += [mention("bare") for _ in range(50)]
    golds = np.arange(len(mentions)) // 2
    changed, others = with_other_pictures(mentions, golds, 0.5)
    assert 60 < others.sum() < 150
    for before, after, is_other in zip(mentions, changed, others):
        assert (before.images != after.images) == is_other
        assert before.text == after.text
    assert not others[300:].any()
    assert with_other_pictures(mentions, golds, 0.0)[0] == mentions


def test_another_picture_of_the_same_entity_is_of_nothing_else():
    mentions = [mention("Janus", f"{i}.png") for i in range(50)]
    changed, others = with_other_pictures(mentions, np.zeros(50, dtype=int), 1.0)
    assert changed == mentions and not others.any()


@pytest.mark.parametrize("unread", [{"use_images": False}, {"channels": ["name"]}])
def test_pictures_that_nobody_reads_change_no_label(faces, unread):
    nlp = linking_pipeline(faces.kb.path, **{"channels": ["name", "image"], **unread})
    made = mentions_of_faces(nlp, faces, range(IN_KB, N_LIGHTS))
    fitted = []
    for share in (0.0, 1.0):
        linker = nlp.get_pipe("dwe_linker")
        linker.network_shim.settings = replace(
            linker.network_shim.settings, other_pictures=share, nil_dropout=0.0
        )
        nlp.initialize(lambda: made)
        fitted.append(linker.network_shim.network.combiner.nil.detach().clone())
    assert torch.equal(*fitted)
    batch, targets = labelled(linker, made)
    assert (targets < batch.rows.shape[1]).all()


def labelled(linker, nlp_examples, **settings):
    """What a batch is trained on."""
    from spacy_dwe.model.inputs import MentionPlace
    from spacy_dwe.training.labels import labelled_mentions

    for name, value in settings.items():
        object.__setattr__(linker.network_shim.settings, name, value)
    found, golds = labelled_mentions(nlp_examples, use_gold_ents=True)
    return linker._training.batch(
        found,
        [MentionPlace() for _ in found],
        golds,
        kb=linker.kb,
        prepare=linker._prepare,
        named=linker.evidence.named,
        collate=lambda *args: linker._collate(*args, learns=True),
        n_candidates=100,
        shim=linker.network_shim,
    )


def test_where_the_picture_alone_decides_another_leaves_nothing_to_link(faces):
    nlp = after_a_step(faces, "image")
    linker = nlp.get_pipe("dwe_linker")
    open_ = mentions_of_faces(nlp, faces, [3])
    said = [
        example(
            nlp,
            "Terminus spoke",
            ("Terminus", "F0"),
            picture=str(faces.folder / f"{i}-3.png"),
        )
        for i in range(1, 9)
    ]
    # Of two in a row none has the name of the other.
    made = [*chain(*zip(open_[-8:], said))]
    says = torch.tensor([each.text.startswith("Terminus") for each in made])
    settings = {"nil_dropout": 0.0, "kb_pictures": 0.0}
    batch, targets = labelled(linker, made, other_pictures=1.0, **settings)
    n = batch.rows.shape[1]
    assert (targets[~says] == n).all()
    assert (targets[says] < n).all(), "the name says it"
    assert (batch.shown == 0).all()
    batch, targets = labelled(linker, made, other_pictures=0.0, **settings)
    assert (targets < n).all()
    assert (batch.shown[~says] == 1).all(), "nothing but the picture tells"


def test_pictures_of_the_kb_teach_nothing_but_pictures(faces):
    nlp = after_a_step(faces)
    linker = nlp.get_pipe("dwe_linker")
    made = mentions_of_faces(nlp, faces, [3])
    still = {"other_pictures": 0.0, "nil_dropout": 0.0}
    batch, targets = labelled(linker, made, kb_pictures=1.0, **still)
    assert batch.from_kb.sum() == len(made) and not batch.from_kb[: len(made)].any()
    network = linker.network_shim.network
    settings = linker.network_shim.settings
    output = network(batch, linker.channels)
    parts = network.loss(output, batch, targets, settings)
    without, fewer = labelled(linker, made, kb_pictures=0.0, **still)
    alone = network.loss(network(without, linker.channels), without, fewer, settings)
    torch.testing.assert_close(parts.linking, alone.linking, atol=1e-5, rtol=1e-4)
    assert parts.contrast != alone.contrast
    assert str(SetName("image", "faces")) in output.queries


# How much each mention counts


@pytest.mark.parametrize("shown, of_gold", [(4.0, 1.0), (-4.0, 0.0)])
def test_where_the_text_says_it_the_kb_tells_whether_the_picture_does(shown, of_gold):
    combiner = Combiner(columns(["name", "image"]))
    names = [each.name for each in combiner.columns.all]
    features = torch.zeros(2, 2, len(names))
    features[..., names.index("shown")] = shown
    # The name tells in the first mention, and nothing does in the second.
    features[0, 0, names.index("match")] = 30.0
    present = torch.ones(features.shape, dtype=torch.bool)
    every = torch.ones(2, 2, dtype=torch.bool)
    scores = combiner(features, present, every, every)
    gold = torch.zeros(2, dtype=torch.int64)
    said = combiner.shows(scores, features, present, gold)
    assert said.tolist() == pytest.approx([of_gold, 1.0], abs=0.01)


@pytest.mark.parametrize(
    "loss",
    [
        lambda contrast: info_nce(contrast, torch.tensor(0.1)),
        lambda contrast: triplet(contrast, 0.5),
        n_pair,
    ],
)
def test_a_mention_that_does_not_count_changes_no_loss(loss):
    positives = torch.tensor([0.2, 0.9])
    negatives = torch.tensor([[0.1, 0.3], [0.8, 0.7]])
    left_out = torch.zeros(2, 2, dtype=torch.bool)
    both = Contrast(positives, negatives, left_out, torch.tensor([1.0, 0.0]))
    first = Contrast(positives[:1], negatives[:1], left_out[:1], torch.ones(1))
    torch.testing.assert_close(loss(both), loss(first))
    nothing = Contrast(positives, negatives, left_out, torch.zeros(2))
    assert loss(nothing) == 0


# Where it is computed


@pytest.mark.filterwarnings("ignore:.*meta parameter:UserWarning")
@pytest.mark.parametrize("fit_combiner", [True, False])
def test_what_is_fitted_is_computed_beside_the_network(faces, fit_combiner):
    """That may be on a GPU; torch's device without memory can only be written to."""
    nlp = linking_pipeline(
        faces.kb.path,
        model={**SMALL_MODEL, "head": "linear", "fit_combiner": fit_combiner},
    )
    made = mentions_of_faces(nlp, faces, range(IN_KB, N_LIGHTS))
    nlp.initialize(lambda: made)
    linker = nlp.get_pipe("dwe_linker")
    shim = linker.network_shim
    fit_to_examples(
        shim.network.to("meta"),
        lambda: made,
        faces.kb,
        linker._prepare,
        0.1,
        shim.settings,
    )
