"""Pipelines and a KB that version 0.1.0 (cdc3d44) saved link as they did then, once the
KB is brought up to date."""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import spacy

from spacy_dwe.building.update import rebuild_kb
from spacy_dwe.channels import CHANNELS
from spacy_dwe.channels.name import NameChannel
from spacy_dwe.cli.link import link
from spacy_dwe.errors import DweError

FIXTURES = Path(__file__).parent / "fixtures"
KB = "dwe/dwe_linker/kb"
KEPT = 12
NO_CANDIDATE = ("two-pictures-1", "Q3")
"""O'Keeffe is one word now, half of Georgia O'Keeffe's: in the sentence of a mention of
Paris, it adds her to the candidates no more. She was the last."""
UNTRAINED = {"two-pictures": ["Q3", "Q4"], "unknown": [None], "script": ["Q12"] * 3}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with the pipelines `dwe` and `linear`, documents and expected links."""
    folder = tmp_path_factory.mktemp("saved")
    for name in ("data", "dwe", "linear"):
        with ZipFile(FIXTURES / f"{name}.zip") as file:
            file.extractall(folder)
    for name in ("dwe", "linear"):
        rebuild_kb(folder / name / "dwe_linker" / "kb")
    return folder


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_kb_of_then_is_told_what_to_run(tmp_path):
    with ZipFile(FIXTURES / "dwe.zip") as file:
        file.extractall(tmp_path)
    path = tmp_path / KB
    with pytest.raises(DweError, match=f"format 2.*kb rebuild {path}`$"):
        scores(spacy.load(tmp_path / "dwe"))


@pytest.mark.parametrize("name", ["dwe", "linear"])
def test_links_are_the_same(saved, name, tmp_path):
    """Of mentions that have their pictures to themselves: then they did not compete."""
    alone, out = saved / "alone.jsonl", tmp_path / "links.jsonl"
    expected = records(saved / f"expected-{name}.jsonl")
    documents = [
        {**document, "id": f"{document['id']}-{at}", "mentions": [mention]}
        for document in records(saved / "documents.jsonl")
        for at, mention in enumerate(document["mentions"])
    ]
    alone.write_text("\n".join(map(json.dumps, documents)))
    link(saved / name, alone, out, top_k=KEPT)
    found = [(document["id"], document["mentions"][0]) for document in records(out)]
    theirs = [mention for document in expected for mention in document["mentions"]]
    assert len(found) > len(expected)
    for (place, mine), other in zip(found, theirs, strict=True):
        there = [c for c in other["candidates"] if (place, c["id"]) != NO_CANDIDATE]
        assert mine["kb_id"] == other["kb_id"]
        assert [c["id"] for c in mine["candidates"]] == [c["id"] for c in there]
        for a, b in zip(mine["candidates"], there):
            assert a["probability"] == pytest.approx(b["probability"], abs=2e-5)
            assert a["scores"] == pytest.approx(b["scores"], abs=2e-4)


def test_the_kb_links_without_training(saved, tmp_path):
    documents = [d for d in records(saved / "documents.jsonl") if d["id"] in UNTRAINED]
    some, out = saved / "some.jsonl", tmp_path / "links.jsonl"
    some.write_text("\n".join(map(json.dumps, documents)))
    link("blank:en", some, out, kb=saved / KB)
    found = {d["id"]: [m["kb_id"] for m in d["mentions"]] for d in records(out)}
    assert found == UNTRAINED


def with_columns(path, change):
    """Save the weights in a file again, with other names of columns."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    spec = json.loads(header["__metadata__"]["spec"])
    spec["columns"] = change(spec["columns"])
    header["__metadata__"]["spec"] = json.dumps(spec)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.fixture
def saved_again(saved, tmp_path):
    """A pipeline, loaded and saved: now its weights say what their columns are."""
    spacy.load(saved / "linear").to_disk(tmp_path / "again")
    return tmp_path / "again"


class OtherNameChannel(NameChannel):
    """The columns in another order, and one more."""

    columns: Mapping[str, float] = dict(
        reversed([*NameChannel.columns.items(), ("new", 1.0)])
    )

    def compute(self, mentions, candidates, kb):
        values, there = super().compute(mentions, candidates, kb)
        return np.hstack([np.ones_like(values[:, :1]), values[:, ::-1]]), there


def test_weights_go_to_columns_by_name(saved_again, monkeypatch):
    expected = scores(spacy.load(saved_again))
    monkeypatch.setitem(CHANNELS, "name", OtherNameChannel())
    assert scores(spacy.load(saved_again)) == pytest.approx(expected, abs=1e-5)


def scores(nlp):
    doc = nlp.make_doc("Georgia won.")
    doc.ents = [doc.char_span(0, 7, label="PLACE")]
    (ent,) = nlp.get_pipe("dwe_linker")(doc).ents
    return {each.id: each.scores["name"] for each in ent._.kb_candidates}


def test_a_column_that_nothing_computes_is_named(saved_again):
    weights = saved_again / "dwe_linker" / "model.safetensors"
    with_columns(
        weights, lambda old: [[c, n.replace("rarity", "scarcity")] for c, n in old]
    )
    with pytest.raises(DweError, match="scarcity of the channel name"):
        scores(spacy.load(saved_again))


def test_a_channel_that_the_pipeline_lacks_is_named(saved_again):
    weights = saved_again / "dwe_linker" / "model.safetensors"
    with_columns(
        weights, lambda old: [[c.replace("prior", "distance"), n] for c, n in old]
    )
    with pytest.raises(DweError, match=r"distance.*--code"):
        scores(spacy.load(saved_again))


def test_a_saved_pipeline_is_never_changed_by_loading_it(saved, tmp_path):
    shutil.copytree(saved / "dwe", tmp_path / "dwe")
    before = {p: p.read_bytes() for p in (tmp_path / "dwe").rglob("*") if p.is_file()}
    scores(spacy.load(tmp_path / "dwe"))
    assert {p: p.read_bytes() for p in before} == before
