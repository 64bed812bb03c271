"""Regions of pictures count beside the whole in the image channel, without training."""

import re
import warnings

import numpy as np
import pytest
import spacy
from PIL import Image
from tiny_world import linking_pipeline

from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.protocol import mentions_as_texts
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.objects import GridRegions
from spacy_dwe.errors import DweError
from spacy_dwe.images import decode, upright_size
from spacy_dwe.kb.entity import Entity
from spacy_dwe.linking.mentions import mentions_of
from spacy_dwe.model.inputs import MentionPlace
from spacy_dwe.model.modalities import VisionModality

COLOURS = {
    "red": (220, 20, 20),
    "green": (20, 200, 20),
    "blue": (20, 20, 220),
    "yellow": (220, 200, 20),
}
PLACES = {"Georgia": ("red", "green"), "Samoa": ("blue", "yellow")}
LEFT, RIGHT = [0, 0, 32, 32], [32, 0, 64, 32]


@spacy.registry.misc("tests.Shades.v1")
class Shades:
    """A picture is its mean colour, more of some things than of others, and there are
    no words."""

    dim = 3
    fingerprint = "shades"
    n_pictures = 0

    def __init__(self):
        self.spec = {"@misc": "tests.Shades.v1"}

    def encode_images(self, images, progress=None):
        Shades.n_pictures += len(images)
        means = [np.asarray(image).mean(axis=(0, 1)) - 100 for image in images]
        return unit(means)


@spacy.registry.misc("tests.Painter.v1")
class Painter(Shades):
    """The same with words: those of a text are colours."""

    width, max_tokens = 3, 1000
    fingerprint = "painter"

    def __init__(self):
        self.spec = {"@misc": "tests.Painter.v1"}

    def encode_texts(self, texts, progress=None):
        named = [
            [COLOURS[word] for word in re.findall("|".join(COLOURS), text)]
            for text in texts
        ]
        return unit([np.mean(own or [(101, 100, 100)], axis=0) - 100 for own in named])

    def encode_mentions(self, mentions):
        return mentions_as_texts(self, mentions)


def unit(rows):
    rows = np.array(rows, dtype=np.float32) + 1e-3
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """Path of a picture of colours side by side, 32 pixels each."""
    folder = tmp_path_factory.mktemp("pictures")

    def make(*colours):
        path = folder / f"{'-'.join(colours)}.png"
        image = Image.new("RGB", (32 * len(colours), 32))
        for i, colour in enumerate(colours):
            image.paste(COLOURS[colour], (32 * i, 0, 32 * i + 32, 32))
        image.save(path)
        return str(path)

    return make


KINDS = {
    "pictures of a space of pictures": {"encoders": {"shades": Shades()}},
    "pictures of CLIP": {"clip": Painter()},
    "descriptions": {"clip": Painter()},
    "both spaces": {"clip": Painter(), "encoders": {"shades": Shades()}},
}


@pytest.fixture(scope="module", params=KINDS)
def nlp(request, tmp_path_factory, picture):
    """An untrained linker; two places of each name differ in colour."""
    entities = [
        Entity(
            f"{name}-{colour}",
            name,
            f"A {colour} place." if request.param == "descriptions" else "",
            images=() if request.param == "descriptions" else (picture(colour),),
        )
        for name, colours in PLACES.items()
        for colour in colours
    ]
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    return linking_pipeline(build_kb(entities, path, **KINDS[request.param]).path)


def document(nlp, text, *images):
    doc = nlp.make_doc(text)
    found = re.finditer("|".join(PLACES), text)
    doc.ents = [doc.char_span(*each.span(), label="PLACE") for each in found]
    doc._.images = list(images)
    return doc


def first(ent):
    return ent._.kb_candidates[0].id


def scores(doc):
    return [
        (each.id, each.probability, *each.scores.values())
        for ent in doc.ents
        for each in ent._.kb_candidates
    ]


def views(nlp, doc):
    """How many views of pictures count for each mention."""
    found = nlp.get_pipe("dwe_linker").evidence.pictures_of(mentions_of([doc]))
    first_space = [next(iter(own.views.values()), ()) for own in found]
    return [sum(map(len, pictures)) for pictures in first_space]


def test_a_box_decides_between_namesakes(nlp, picture):
    both = picture("red", "green")
    for box, colour in ((LEFT, "red"), (RIGHT, "green")):
        doc = document(nlp, "Georgia won.", {"path": both, "boxes": [box]})
        assert first(nlp(doc).ents[0]) == f"Georgia-{colour}"


def test_one_box_among_several_does(nlp, picture):
    boxes = [LEFT, RIGHT]
    for colour in PLACES["Samoa"]:
        shown = {"path": picture("red", colour), "boxes": boxes}
        assert first(nlp(document(nlp, "Samoa won.", shown)).ents[0]).endswith(colour)


def test_without_boxes_a_picture_counts_as_a_whole_and_costs_no_more(nlp, picture):
    doc = document(nlp, "Georgia won.", picture("green", "blue", "red"))
    evidence = nlp.get_pipe("dwe_linker").evidence
    before = Shades.n_pictures
    (seen,) = evidence.pictures_of(mentions_of([doc]))
    assert Shades.n_pictures - before == len(evidence.picture_encoders)
    for space, vectors in seen.vectors.items():
        np.testing.assert_array_equal(seen.views[space], [vectors])
        assert len(vectors) == 1


def test_boxes_leave_the_whole_picture_to_the_network(nlp, picture):
    path = picture("red", "yellow")
    evidence = nlp.get_pipe("dwe_linker").evidence
    plain, boxed = (
        evidence.pictures_of(mentions_of([document(nlp, "Georgia won.", image)]))[0]
        for image in (path, {"path": path, "boxes": [LEFT]})
    )
    np.testing.assert_equal(boxed.vectors, plain.vectors)
    assert {len(own) for (own,) in boxed.views.values()} == {2}


def slots(nlp, doc):
    """What the network reads of the pictures of a document's mention."""
    ((mention,),) = nlp.get_pipe("dwe_linker").evidence.prepare(mentions_of([doc]))
    return VisionModality().extract(mention, MentionPlace())["objects"]


def test_the_network_reads_boxes_apart_beside_the_whole_picture(nlp, picture):
    path, other = picture("red", "yellow"), picture("blue")
    shown = {"path": path, "boxes": [LEFT, RIGHT]}
    evidence = nlp.get_pipe("dwe_linker").evidence
    first = next(iter(evidence.picture_encoders))
    for images, n in (([path], 1), ([shown], 3), ([other, shown], 4)):
        doc = document(nlp, "Georgia won.", *images)
        (seen,) = evidence.pictures_of(mentions_of([doc]))
        expected = np.concatenate(seen.views[first])
        assert len(expected) == n
        np.testing.assert_array_equal(slots(nlp, doc), expected)


def test_each_box_is_encoded_once(nlp, picture):
    path = picture("yellow", "green")
    docs = [
        document(nlp, f"Georgia won {i}.", {"path": path, "boxes": boxes})
        for i, boxes in enumerate([[LEFT], [LEFT, RIGHT], [RIGHT], [[*LEFT, "hill"]]])
    ]
    n_spaces = len(nlp.get_pipe("dwe_linker").evidence.picture_encoders)
    before = Shades.n_pictures
    list(nlp.pipe(docs))
    assert Shades.n_pictures - before == 3 * n_spaces, "the whole and two boxes"


def test_a_later_run_encodes_none_of_them(nlp, picture, tmp_path):
    shown = {"path": picture("red", "green"), "boxes": [LEFT, RIGHT]}
    n_encoded = []
    for _ in range(2):
        fresh = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
        fresh.get_pipe("dwe_linker").feature_cache = str(tmp_path)
        before = Shades.n_pictures
        fresh(document(fresh, "Georgia won.", shown))
        n_encoded.append(Shades.n_pictures - before)
    assert n_encoded[0] and not n_encoded[1]


def test_batches_change_nothing(nlp, picture):
    def documents():
        return [
            document(nlp, text, {"path": picture(*colours), "boxes": boxes})
            for text in ("Georgia won.", "Georgia met Samoa.")
            for colours in (("red", "green"), ("blue", "red"))
            for boxes in ([], [LEFT], [RIGHT, LEFT])
        ]

    alone = [scores(nlp(doc)) for doc in documents()]
    together = [scores(doc) for doc in nlp.pipe(documents())]
    for one, other in zip(alone, together, strict=True):
        assert [each[0] for each in one] == [each[0] for each in other]
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a[1:], b[1:], atol=1e-5)


def test_each_mention_has_the_region_that_fits_it(nlp, picture):
    for georgia in PLACES["Georgia"]:
        for samoa in PLACES["Samoa"]:
            path = picture(samoa, georgia)
            shown = {"path": path, "boxes": [LEFT, RIGHT]}
            doc = nlp(document(nlp, "Georgia met Samoa.", shown))
            assert [first(e) for e in doc.ents] == [
                f"Georgia-{georgia}",
                f"Samoa-{samoa}",
            ]


def test_who_is_in_no_region_has_none_of_them(nlp, picture):
    shown = {"path": picture("red", "red"), "boxes": [LEFT]}
    doc = document(nlp, "Georgia met Samoa.", shown)
    assert views(nlp, doc) == [2, 0]
    bare = nlp(document(nlp, "Georgia met Samoa."))
    found = nlp(doc)
    ends = [len(each.ents[0]._.kb_candidates) for each in (found, bare)]
    assert scores(found)[ends[0] :] == scores(bare)[ends[1] :]


@pytest.fixture
def with_grid(nlp):
    """The same linker, which looks at parts of every picture, without a CLIP."""
    fresh = spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())
    fresh.get_pipe("dwe_linker").visual = VisualExtractor(GridRegions())
    return fresh


def test_a_grid_sees_what_is_small_on_a_picture(with_grid, tmp_path):
    for georgia in PLACES["Georgia"]:
        image = Image.new("RGB", (64, 64), (100, 100, 100))
        image.paste(COLOURS[georgia], (0, 0, 32, 32))
        image.paste(COLOURS["blue"], (32, 0, 64, 64))
        image.save(tmp_path / f"{georgia}.png")
        doc = document(with_grid, "Georgia won.", tmp_path / f"{georgia}.png")
        assert views(with_grid, doc) == [6]
        assert first(with_grid(doc).ents[0]) == f"Georgia-{georgia}"


def test_the_network_reads_the_grid_apart(with_grid, picture):
    doc = document(with_grid, "Georgia won.", picture("red"))
    assert len(slots(with_grid, doc)) == 6


def test_boxes_stand_in_place_of_the_grid(with_grid, picture):
    shown = {"path": picture("red", "green"), "boxes": [RIGHT]}
    doc = document(with_grid, "Georgia won.", shown)
    assert views(with_grid, doc) == [2]
    assert first(with_grid(doc).ents[0]) == "Georgia-green"


def test_a_grid_alone_is_nothing_to_show(with_grid, picture):
    with pytest.raises(DweError, match="E440"):
        doc = document(with_grid, "Georgia won.", picture("red"))
        with_grid.get_pipe("dwe_linker").image_evidence(doc)


def test_boxes_that_show_nothing_are_told(nlp, picture):
    shown = {"path": picture("red"), "boxes": [[0, 0, 2, 2], [100, 0, 140, 30]]}
    doc = document(nlp, "Georgia won.", shown)
    with pytest.warns(UserWarning, match=r"W150.* 2 of 2 boxes on .*red\.png"):
        assert views(nlp, doc) == [1]


def test_a_broken_picture_with_boxes_is_none(nlp, tmp_path, picture):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shown = {"path": str(tmp_path / "broken.png"), "boxes": [LEFT]}
    doc = document(nlp, "Georgia won.", shown, picture("red"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert views(nlp, doc) == [1]
    assert [str(each.message)[:10] for each in told] == ["[DWE-W001]"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_on_the_upright_picture(tmp_path, orientation):
    image = Image.new("RGB", (20, 10))
    image.getexif()[0x0112] = orientation
    for suffix in ("jpg", "png"):
        image.save(tmp_path / f"turned.{suffix}", exif=image.getexif())
        data = (tmp_path / f"turned.{suffix}").read_bytes()
        assert upright_size(data) == decode(data).size
    assert upright_size(b"none") == (0, 0)
