"""Objects, faces and scenes from pictures to links: the setting `visual`."""

import json

import numpy as np
import pytest
import spacy
from PIL import Image
from spacy.tokens import DocBin
from tiny_world import NAMES, SMALL_MODEL, linking_pipeline, train

from spacy_dwe.cli.evaluate import evaluate
from spacy_dwe.cli.link import link
from spacy_dwe.encoders.visual.extractor import VisualExtractor
from spacy_dwe.encoders.visual.objects import PatchRegions
from spacy_dwe.errors import DweError
from spacy_dwe.linking.mentions import mentions_of

VISUAL = {
    "@misc": "spacy-dwe.VisualExtractor.v1",
    "objects": {"@misc": "spacy-dwe.PatchRegions.v1"},
    "scenes": {"@misc": "spacy-dwe.SceneAttributes.v1", "margin": 0.5},
}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    """Path of a picture of a square of a colour on a ground."""
    folder = tmp_path_factory.mktemp("framed")

    def make(colour, at=0):
        path = folder / f"{colour}-{at}.png"
        image = Image.new("RGB", (64, 48), (90, 120, 90))
        image.paste(colour, (10 + at, 10, 40 + at, 36))
        image.save(path)
        return str(path)

    return make


@pytest.fixture(scope="module")
def seeing(described_kb, examples):
    """A pipeline that looks for objects and scenes. Tests only read it."""
    nlp = linking_pipeline(described_kb, model=SMALL_MODEL, visual=VISUAL)
    return train(nlp, examples, steps=5)


def linker_of(nlp):
    return nlp.get_pipe("dwe_linker")


def prepared(nlp, *docs):
    linker = linker_of(nlp)
    mentions = mentions_of(list(docs))
    batches = linker.evidence.prepare(mentions)
    return [mention for batch in batches for mention in batch]


def scores(docs):
    return [
        [
            [(c.id, [c.probability, *c.scores.values()]) for c in e._.kb_candidates]
            for e in d.ents
        ]
        for d in docs
    ]


def assert_close(found, expected):
    for own, other in zip(found, expected, strict=True):
        for ent, same in zip(own, other, strict=True):
            assert [c[0] for c in ent] == [c[0] for c in same]
            for (_, a), (_, b) in zip(ent, same, strict=True):
                np.testing.assert_allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)


# What the network gets


def test_the_network_gets_regions_and_scenes_of_every_picture(seeing, document, framed):
    one, two, none = (
        document("Georgia won.", framed("red"), vocab=seeing.vocab),
        document("Georgia won.", framed("red"), framed("blue"), vocab=seeing.vocab),
        document("Georgia won.", vocab=seeing.vocab),
    )
    first, both, bare = prepared(seeing, one, two, none)
    seen = linker_of(seeing).look(dict.fromkeys(two._.images, "doc"))
    slots = [evidence.slots() for evidence in seen.values()]
    assert len(slots) == 2 and all(len(own.objects) > 1 for own in slots)
    np.testing.assert_allclose(first.objects, slots[0].objects, atol=TOLERANCE)
    assert len(both.objects) == sum(len(own.objects) for own in slots)
    assert len(both.scenes) == sum(len(own.scenes) for own in slots) > 0
    assert len(both.whole) == 2
    assert not both.face_mask.any() and both.face_mask.shape == (len(both.objects),)
    assert len(bare.objects) == len(bare.scenes) == len(bare.whole) == 0


def test_what_is_on_a_picture_is_of_those_it_belongs_to(seeing, document, framed):
    doc = document("Georgia won Yesterday.", framed("red"), vocab=seeing.vocab)
    doc.ents = [*doc.ents, doc.char_span(12, 21, label="DATE")]
    named, other = prepared(seeing, doc)
    assert len(named.whole) == 1 and len(named.objects) and len(named.scenes)
    assert len(other.whole) == len(other.objects) == len(other.scenes) == 0


def test_whole_pictures_have_the_same_vector_with_and_without(
    seeing, trained, document, framed
):
    docs = [
        document("Georgia won.", framed("red"), vocab=n.vocab)
        for n in (seeing, trained)
    ]
    (looked,), (whole,) = prepared(seeing, docs[0]), prepared(trained, docs[1])
    np.testing.assert_allclose(looked.whole, whole.whole, atol=TOLERANCE)
    assert len(whole.objects) == len(whole.scenes) == len(whole.faces) == 0


class SquareFinder:
    """Finds what `framed` frames, as a detector would."""

    @property
    def settings(self):
        return {"finder": "square"}

    def __call__(self, encoder, images, batch, given):
        from spacy_dwe.encoders.visual.boxes import Box
        from spacy_dwe.encoders.visual.findings import Region

        box = Box(10, 10, 40, 36)
        crops = encoder.encode_images([image.crop(box) for image in images])
        return [[Region(box, 0.9, "", 0.0, crop, "detector")] for crop in crops]


def test_what_a_detector_finds_counts_untrained(described_kb, document, framed):
    nlp = linking_pipeline(described_kb)
    linker = linker_of(nlp)
    linker.visual = VisualExtractor(SquareFinder())
    mentions = mentions_of([document("Georgia won.", framed("red"))])
    (seen,) = linker.evidence.pictures_of(mentions)
    image = Image.open(framed("red")).convert("RGB")
    both = [image, image.crop((10, 10, 40, 36))]
    expected = linker.evidence.clip.encode_images(both)
    (views,) = seen.views["clip"]
    np.testing.assert_allclose(views, expected, atol=TOLERANCE)


def test_patches_are_no_views_and_are_not_looked_for_untrained(
    described_kb, seeing, document, framed
):
    doc = document("Georgia won.", framed("red"))
    nlp = linking_pipeline(described_kb, visual=VISUAL)
    untrained, trained = (
        linker_of(each).evidence.pictures_of(mentions_of([doc]))[0]
        for each in (nlp, seeing)
    )
    for seen in (untrained, trained):
        np.testing.assert_allclose(
            seen.views["clip"], [seen.vectors["clip"]], atol=TOLERANCE
        )
    assert len(trained.objects) and not len(untrained.objects)


def test_a_face_is_masked_in_where_it_is(described_kb, document, framed):
    """A finder of one's own says where a face is."""
    nlp = linking_pipeline(described_kb)
    linker = linker_of(nlp)
    linker.visual = VisualExtractor(PatchRegions(), FaceInTheMiddle())
    (ref,) = document("Georgia won.", framed("red"))._.images
    (evidence,) = linker.look({ref: "doc"}).values()
    slots = evidence.slots()
    assert slots.face_mask.sum() == 1
    (at,) = np.flatnonzero(slots.face_mask)
    np.testing.assert_array_equal(slots.faces[at], evidence.faces[0].vector)
    assert not slots.faces[~slots.face_mask].any()


class FaceInTheMiddle:
    def __init__(self):
        self.settings = {"finder": "middle"}

    def __call__(self, encoder, images, texts):
        from spacy_dwe.encoders.visual.boxes import Box
        from spacy_dwe.encoders.visual.findings import Face

        (phrase,) = texts.texts(encoder, ["old man"])
        crops = encoder.encode_images(images)
        return [
            (Face(Box(20, 18, 26, 24), 1.0, "old man", (), phrase, crop),)
            for crop in crops
        ]


def test_equal_pictures_are_looked_at_once(seeing, document, framed):
    nlp = unremembering(seeing)
    linker, calls = linker_of(nlp), []
    inner = linker.visual

    class Counting(type(inner)):
        def _batch(self, encoder, images, given):
            calls.append(len(images))
            return super()._batch(encoder, images, given)

    linker.visual = Counting(inner.objects, inner.faces, inner.scenes)
    docs = [
        document("Georgia beat Samoa.", framed("red"), vocab=nlp.vocab)
        for _ in range(3)
    ]
    list(nlp.pipe(docs))
    list(nlp.pipe(d.copy() for d in docs))
    assert calls == [1]


# Invariants 1, 2 and 6


@pytest.fixture
def documents(document, framed):
    def make(nlp):
        made = []
        for i, name in enumerate(NAMES):
            pictures = [framed("red", i), framed("blue", i % 3)][: i % 3]
            text = f"{name} {'is far away, but ' * (i % 4)} {NAMES[i - 1]}."
            made.append(document(text, *pictures, vocab=nlp.vocab))
        return made

    return make


def unremembering(nlp):
    return spacy.blank("xx").from_config(nlp.config).from_bytes(nlp.to_bytes())


def test_batch_mates_change_nothing(seeing, documents):
    expected = scores(seeing.pipe(documents(seeing)))
    for batch_size in (1, 3):
        fresh = unremembering(seeing)
        assert_close(
            scores(fresh.pipe(documents(fresh), batch_size=batch_size)), expected
        )


def test_what_is_on_the_picture_changes_the_score(seeing, document, framed):
    one, other = (
        seeing(document("Georgia won.", framed(colour), vocab=seeing.vocab))
        for colour in ("red", "blue")
    )
    assert scores([one]) != scores([other])


def test_a_picture_that_cannot_be_read_is_none(seeing, document, framed, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    doc = document("Georgia won.", str(broken), vocab=seeing.vocab)
    with pytest.warns(UserWarning, match=r"W001.*broken\.png of document"):
        linked = seeing(doc)
    bare = seeing(document("Georgia won.", vocab=seeing.vocab))
    assert_close(scores([linked]), scores([bare]))
    beside = document("Georgia won.", str(broken), framed("red"), vocab=seeing.vocab)
    with pytest.warns(UserWarning, match="W001"):
        linked = seeing(beside)
    alone = seeing(document("Georgia won.", framed("red"), vocab=seeing.vocab))
    assert_close(scores([linked]), scores([alone]))


def test_it_is_saved_with_the_pipeline(seeing, documents, tmp_path):
    expected = scores(seeing.pipe(documents(seeing)))
    seeing.to_disk(tmp_path / "pipeline")
    for again in (spacy.load(tmp_path / "pipeline"), unremembering(seeing)):
        linker = linker_of(again)
        assert linker.visual.fingerprint == linker_of(seeing).visual.fingerprint
        assert_close(scores(again.pipe(documents(again))), expected)


def test_worker_processes_change_nothing(seeing, documents):
    expected = scores(seeing.pipe(documents(seeing)))
    found = scores(seeing.pipe(documents(seeing), n_process=2, batch_size=4))
    assert_close(found, expected)


# What it is told and what it tells


def test_image_evidence_says_what_is_seen(seeing, document, framed):
    doc = document("Georgia beat Samoa.", framed("red"), vocab=seeing.vocab)
    doc.ents[1]._.images = [framed("blue"), framed("red")]
    red, blue = linker_of(seeing).image_evidence(doc)
    assert json.loads(json.dumps([red, blue])) == [red, blue]
    assert (red["image"], blue["image"]) == (framed("red"), framed("blue"))
    assert red["size"] == [64, 48] and red["faces"] == []
    for region in red["regions"]:
        left, top, right, bottom = region["box"]
        assert 0 <= left < right <= 64 and 0 <= top < bottom <= 48 and region["words"]
    assert red["regions"] and red["scenes"]
    assert all(scene["score"] >= 0.5 and scene["words"] for scene in red["scenes"])


@pytest.mark.parametrize("part", ["objects", "scenes"])
def test_a_config_names_only_what_it_wants(described_kb, document, framed, part):
    visual = {"@misc": VISUAL["@misc"], part: VISUAL[part]}
    nlp = linking_pipeline(described_kb, visual=visual)
    doc = document("Georgia won.", framed("red"), vocab=nlp.vocab)
    (seen,) = linker_of(unremembering(nlp)).image_evidence(doc)
    found = {"objects": seen["regions"], "scenes": seen["scenes"]}
    assert found.pop(part) and not any(found.values())


def test_image_evidence_needs_no_training(described_kb, document, framed):
    nlp = linking_pipeline(described_kb, visual=VISUAL)
    doc = document("Georgia won.", framed("red"), vocab=nlp.vocab)
    (seen,) = linker_of(nlp).image_evidence(doc)
    assert seen["regions"]


def test_what_was_found_is_kept_for_later_runs(
    described_kb, document, framed, tmp_path, monkeypatch
):
    config = {"visual": VISUAL, "feature_cache": str(tmp_path)}
    first, later = (linking_pipeline(described_kb, **config) for _ in range(2))
    doc = document("Georgia won.", framed("red"), vocab=first.vocab)
    seen = linker_of(first).image_evidence(doc)
    monkeypatch.delattr(VisualExtractor, "__call__")
    assert linker_of(later).image_evidence(doc) == seen


def test_boxes_that_come_with_a_picture_are_its_regions(seeing, document, framed):
    picture = {"path": framed("red"), "boxes": [[10, 10, 40, 36, "a red square"]]}
    free = document("Georgia won.", framed("red"), vocab=seeing.vocab)
    given = document("Georgia won.", picture, vocab=seeing.vocab)
    data = DocBin(docs=[given], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(seeing.vocab)
    (seen,) = linker_of(seeing).image_evidence(again)
    (region,) = seen["regions"]
    assert (region["words"], region["source"]) == ("a red square", "given")
    assert region["box"] == [10, 10, 40, 36]
    assert scores([seeing(free)]) != scores([seeing(again)])


def test_boxes_beside_the_picture_are_told(seeing, document, framed):
    boxes = [[10, 10, 40, 36], [70, 0, 90, 20]]
    doc = document("Georgia won.", {"path": framed("red"), "boxes": boxes})
    with pytest.warns(
        UserWarning, match=r"W150.* 1 of 2 boxes on .* of document \"Geo"
    ):
        linker_of(seeing).image_evidence(doc)


def test_commands_take_such_a_pipeline(seeing, framed, tmp_path):
    """`link` keeps boxes in its output, and the page of `evaluate` shows regions."""
    seeing.to_disk(tmp_path / "pipeline")
    picture = {"path": framed("red"), "boxes": [[10, 10, 40, 36, "a red square"]]}
    mention = {"start": 0, "end": 7, "kb_id": "Georgia-blue"}
    other = {**mention, "kb_id": "Georgia-red"}
    documents = [
        {
            "id": "d1",
            "text": "Georgia won.",
            "images": [picture],
            "mentions": [mention],
        },
        {"id": "d2", "text": "Georgia won.", "images": [picture], "mentions": [other]},
    ]
    data = tmp_path / "documents.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    link(tmp_path / "pipeline", data, tmp_path / "links.jsonl")
    lines = (tmp_path / "links.jsonl").read_text().splitlines()
    assert [json.loads(line)["images"] for line in lines] == [[picture], [picture]]
    evaluate(str(tmp_path / "pipeline"), data, report=tmp_path / "report", draws=0)
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count('<rect class="region"') == 1, "one of the two is a miss"
    assert "a red square" in page


def test_a_linker_that_looks_for_nothing_says_so(trained, document, framed):
    doc = document("Georgia won.", framed("red"), vocab=trained.vocab)
    with pytest.raises(DweError, match=r"E440.*dwe_linker\.visual"):
        linker_of(trained).image_evidence(doc)


def test_without_clip_there_is_no_looking(names_kb, document, framed):
    nlp = linking_pipeline(names_kb, visual=VISUAL)
    with pytest.raises(DweError, match=r"E441.*names\.kb"):
        nlp(document("Georgia won.", framed("red"), vocab=nlp.vocab))
    linker_of(nlp).use_images = False
    nlp(document("Georgia won.", framed("red"), vocab=nlp.vocab))


def test_a_head_that_reads_no_findings_is_told(described_kb, examples):
    model = {**SMALL_MODEL, "head": "linear"}
    nlp = linking_pipeline(described_kb, model=model, visual=VISUAL)
    with pytest.warns(UserWarning, match=r"W152.*dwe_linker"):
        nlp.initialize(lambda: examples(nlp))
