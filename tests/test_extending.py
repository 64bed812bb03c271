"""The files of docs/extending.md, as they stand there."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import spacy
from tiny_world import SMALL_MODEL
from typer.testing import CliRunner

from spacy_dwe import DweKnowledgeBase, Entity, build_kb
from spacy_dwe.cli import dwe_cli
from spacy_dwe.training.labels import labelled_mentions

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)
FILES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))

DISTANCE = {"distance": {"@misc": "my.DistanceChannel.v1"}}

PARIS = [
    Entity("France", "Paris", "A city.", extra={"coordinates": [48.86, 2.35]}),
    Entity("Texas", "Paris", "A city.", extra={"coordinates": [33.66, -95.55]}),
    Entity("Nowhere", "Paris", "A city."),
]


@pytest.fixture
def code(tmp_path):
    """Path of a file of the page, loaded as `--code` does."""

    def load(name):
        path = tmp_path / name
        path.write_text(FILES[name])
        spacy.util.import_file(path.stem, path)
        return path

    return load


@pytest.fixture
def dwe():
    """Run a command."""

    def run(*arguments):
        done = CliRunner().invoke(dwe_cli, [str(each) for each in arguments])
        assert done.exit_code == 0, done.output
        return done.output

    return run


def write(path, records):
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def paris(**keys):
    mentions = [{"start": 6, "end": 11}]
    return {"id": "d", "text": "I saw Paris.", "mentions": mentions, **keys}


def links(path):
    (record,) = map(json.loads, path.read_text().splitlines())
    return record["mentions"][0]


def test_the_page_has_a_file_for_each_part():
    assert FILES.keys() == {"distance.py", "letters.py", "prefixes.py", "geojson.py"}
    for text in FILES.values():
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) < 40


class TestChannel:
    @pytest.fixture
    def kb(self, tmp_path):
        return build_kb(PARIS, tmp_path / "paris.kb").path

    def test_it_links_untrained_and_is_explained(self, code, dwe, kb, tmp_path):
        documents = write(tmp_path / "in.jsonl", [paris(location=[30.3, -97.7])])
        out = tmp_path / "out.jsonl"
        distance = "--components.dwe_linker.more_channels.distance.@misc"
        dwe(
            *("link", "blank:en", documents, out, "--kb", kb),
            *("--code", code("distance.py"), distance, "my.DistanceChannel.v1"),
        )
        assert links(out)["kb_id"] == "Texas"
        scores = {each["id"]: each["scores"] for each in links(out)["candidates"]}
        assert scores["Texas"]["distance"] > scores["France"]["distance"] > 0
        assert scores["Nowhere"]["distance"] == 0, "masked"

    def test_it_is_trained_and_saved_as_ours_are(self, code, kb, tmp_path):
        code("distance.py")
        if not spacy.tokens.Doc.has_extension("location"):
            spacy.tokens.Doc.set_extension("location", default=None)
        nlp = spacy.blank("en")
        config = {"more_channels": DISTANCE, "channels": ["name", "prior"]}
        linker = nlp.add_pipe("dwe_linker", config=config | {"model": SMALL_MODEL})
        linker.load_kb(kb)
        assert linker.channels == ["name", "prior", "distance"]
        made = [
            self.example(nlp, "France", [51.5, -0.1]),
            self.example(nlp, "Texas", [29.4, -98.5]),
        ]
        optimizer = nlp.initialize(lambda: made)
        network = linker.network_shim.network
        place = network.columns.names.index(("distance", "near"))
        assert network.combiner.weight[place] > 3.0, "fitted"
        before = network.combiner.weight[place].item()
        optimizer.learn_rate = 0.001
        nlp.update(made, sgd=optimizer)
        assert network.combiner.weight[place].item() != before
        nlp.to_disk(tmp_path / "saved")
        again = spacy.load(tmp_path / "saved")
        doc = again.make_doc("I saw Paris.")
        doc._.location = [29.4, -98.5]
        doc.ents = [doc.char_span(6, 11, label="GPE")]
        (ent,) = again.get_pipe("dwe_linker")(doc).ents
        assert ent.kb_id_ == "Texas"

    def example(self, nlp, kb_id, location):
        doc = nlp.make_doc("I saw Paris.")
        gold = {"entities": [(6, 11, "GPE")], "links": {(6, 11): {kb_id: 1.0}}}
        example = spacy.training.Example.from_dict(doc, gold)
        example.reference._.location = location
        return example

    def test_mentions_that_differ_in_what_it_reads_are_prepared_apart(self, code, kb):
        code("distance.py")
        nlp = spacy.blank("en")
        linker = nlp.add_pipe("dwe_linker", config={"more_channels": DISTANCE})
        linker.load_kb(kb)
        if not spacy.tokens.Doc.has_extension("location"):
            spacy.tokens.Doc.set_extension("location", default=None)
        here = self.example(nlp, "France", [51.5, -0.1])
        there = self.example(nlp, "France", [29.4, -98.5])
        mentions, _ = labelled_mentions(
            [here, there, here], use_gold_ents=True, attributes=("location",)
        )
        first, second, third = linker._prepare(mentions)
        assert third is first
        assert (first.features != second.features).any()


def test_an_encoder(code, dwe, tmp_path):
    letters = code("letters.py")
    kb, out = tmp_path / "letters.kb", tmp_path / "out.jsonl"
    cities = [
        {"id": "1", "title": "Paris", "description": "zzz zzz zzz"},
        {"id": "2", "title": "Paris", "description": "I saw it, I saw it."},
    ]
    entities = write(tmp_path / "entities.jsonl", cities)
    more = write(tmp_path / "more.jsonl", [{**cities[1], "id": "3"}])
    documents = write(tmp_path / "in.jsonl", [paris()])
    encoder = ("--encoder", "text=my.Letters.v1")
    dwe("kb", "build", entities, kb, "--code", letters, *encoder)
    dwe("link", "blank:en", documents, out, "--kb", kb, "--code", letters)
    assert links(out)["kb_id"] == "2"
    dwe("kb", "add", kb, more, "--code", letters)
    assert "3" in DweKnowledgeBase(kb)
    (vectors,) = DweKnowledgeBase(kb).vector_sets.values()
    assert vectors.dim == 64
    assert (np.diff(vectors.offsets) == 1).all()


def test_a_generator(code, tmp_path):
    code("prefixes.py")
    build_kb([Entity("1", "Parigi"), Entity("2", "London")], tmp_path / "two.kb")
    nlp = spacy.blank("en")
    config = {"generate_candidates": {"@misc": "my.PrefixCandidates.v1"}}
    nlp.add_pipe("dwe_linker", config=config).load_kb(tmp_path / "two.kb")
    doc = nlp.make_doc("I saw Paris.")
    doc.ents = [doc.char_span(6, 11, label="GPE")]
    (ent,) = nlp.get_pipe("dwe_linker")(doc).ents
    assert [each.id for each in ent._.kb_candidates] == ["1"]
    assert ent._.kb_candidates[0].found_by == ("spelling",)


def test_a_source(code, dwe, tmp_path):
    feature = {
        "properties": {"id": "Q90", "name:en": "Paris"},
        "geometry": {"coordinates": [2.35, 48.86]},
    }
    places = tmp_path / "places.geojson"
    places.write_text(json.dumps({"features": [feature]}))
    out = tmp_path / "entities.jsonl"
    geojson = code("geojson.py")
    source = ("my.GeoJson.v1", out, "--code", geojson, "--set", f"path={places}")
    dwe("kb", "import", *source)
    (entity,) = map(json.loads, out.read_text().splitlines())
    assert entity["title"] == "Paris"
    assert entity["coordinates"] == [48.86, 2.35]
    dwe("kb", "build", out, tmp_path / "places.kb")
    kb = DweKnowledgeBase(tmp_path / "places.kb")
    assert kb.values("coordinates", kb.rows_of(["Q90"])) == [[48.86, 2.35]]
