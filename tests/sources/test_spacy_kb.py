"""spaCy's own KnowledgeBase, as its users have it on disk, becomes one of ours."""

import shutil

import numpy as np
import pytest
import spacy
import typer
from spacy.kb import InMemoryLookupKB
from spacy.training import Example
from typer.testing import CliRunner

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.kb_tables import import_spacy_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Alias, read_entities
from spacy_dwe.kb.knowledge_base import DweKnowledgeBase
from spacy_dwe.sources import registered_entities
from spacy_dwe.sources.spacy_kb import entities_from_lookup_kb, read_lookup_kb

ENTITIES = {"Q230": 120.0, "Q1428": 32.5, "Q54173": 0.0, "Q1": -3.2}
ALIASES = {
    "Georgia": {"Q230": 0.3, "Q1428": 0.6},
    "Peach State": {"Q1428": 1.0},
    "GA": {"Q1428": 0.2, "Q54173": 0.0},
    "Sakartvelo": {"Q230": 1.0},
    "Łódź": {"Q54173": 1 / 3},
    "the General": {"Q54173": 0.1},
}


def fill(vocab):
    kb = InMemoryLookupKB(vocab, entity_vector_length=3)
    for number, (name, frequency) in enumerate(ENTITIES.items()):
        kb.add_entity(name, freq=frequency, entity_vector=[number, 1, 2])
    for alias, candidates in ALIASES.items():
        kb.add_alias(alias, list(candidates), list(candidates.values()))
    return kb


@pytest.fixture
def kb():
    return fill(spacy.blank("en").vocab)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A saved pipeline whose entity_linker has been trained for a step."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    linker = nlp.add_pipe("entity_linker")
    gold = {"links": {(0, 7): {"Q1428": 1.0}}, "entities": [(0, 7, "PLACE")]}
    gold["sent_starts"] = [1, 0, 0, 0]
    examples = [Example.from_dict(nlp.make_doc("Georgia is large."), gold)]
    linker.initialize(lambda: examples, nlp=nlp, kb_loader=fill)
    path = tmp_path_factory.mktemp("linked") / "pipeline"
    nlp.to_disk(path)
    return path


def run(*arguments):
    app = typer.Typer()
    app.command("import-spacy")(import_spacy_cli)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failure(result):
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines()
    return line


def assert_links_as(theirs, ours):
    """Names lead to the same entities, with the same priors, in both KBs."""
    for alias in theirs.get_alias_strings():
        expected = {c.entity_: c.prior_prob for c in theirs.get_alias_candidates(alias)}
        found = ours.exact([alias])
        priors = ours.priors([alias], found).tolist()
        assert dict(zip(ours.ids(found.rows), priors)) == expected, alias


def test_names_and_priors_stay(kb, tmp_path):
    ours = build_kb(entities_from_lookup_kb(kb), tmp_path / "our.kb")
    assert_links_as(kb, ours)
    assert sorted(ours.get_entity_strings()) == sorted(kb.get_entity_strings())


def test_entities(kb):
    entities = {entity.id: entity for entity in entities_from_lookup_kb(kb)}
    assert entities["Q1428"].aliases == (
        Alias("GA", 0.2),
        Alias("Georgia", 0.6),
        Alias("Peach State", 1.0),
    )
    titles = {entity.id: entity.title for entity in entities.values()}
    assert titles == {
        "Q230": "Sakartvelo",
        "Q1428": "Peach State",
        "Q54173": "Łódź",
        "Q1": "Q1",
    }
    assert entities["Q1428"].extra == {"frequency": 32.5}
    assert entities["Q1"].extra == {}
    assert all(entity.prior is None for entity in entities.values())


def test_the_longest_of_equally_sure_aliases_is_the_title(kb):
    kb.add_alias("Republic of Georgia", ["Q230"], [1.0])
    entities = {entity.id: entity for entity in entities_from_lookup_kb(kb)}
    assert entities["Q230"].title == "Republic of Georgia"


def test_the_command_reads_a_folder_and_a_pipeline(kb, pipeline, tmp_path):
    kb.to_disk(tmp_path / "lookup")
    for name, path in (
        ("folder", tmp_path / "lookup"),
        ("pipeline", pipeline),
        ("component", pipeline / "entity_linker"),
        ("kb", pipeline / "entity_linker" / "kb"),
    ):
        result = run(path, tmp_path / f"{name}.jsonl")
        assert result.exit_code == 0, result.output
        assert "vectors are not carried over" in " ".join(result.output.split())
        found = list(read_entities(tmp_path / f"{name}.jsonl"))
        assert found == list(entities_from_lookup_kb(kb))


def test_a_pipeline_links_as_before(pipeline, tmp_path):
    nlp = spacy.load(pipeline)
    assert run(pipeline, tmp_path / "e.jsonl").exit_code == 0
    build_kb(read_entities(tmp_path / "e.jsonl"), tmp_path / "our.kb")
    ours = DweKnowledgeBase(tmp_path / "our.kb", nlp.vocab)
    assert_links_as(nlp.get_pipe("entity_linker").kb, ours)


def test_an_installed_package(pipeline, tmp_path, monkeypatch):
    data = tmp_path / "en_linked" / "en_linked-0.0.0"
    shutil.copytree(pipeline, data)
    (tmp_path / "en_linked" / "__init__.py").touch()
    info = tmp_path / "en_linked-0.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: en_linked\nVersion: 0.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(read_lookup_kb("en_linked")) == len(ENTITIES)


def test_strings_of_the_pipeline_serve_an_older_layout(kb, pipeline, tmp_path):
    """spaCy 2 wrote one file, and the strings with the pipeline's vocab only."""
    old = tmp_path / "old"
    shutil.copytree(pipeline, old)
    shutil.rmtree(old / "entity_linker" / "kb")
    kb.write_contents(old / "entity_linker" / "kb")
    found = list(entities_from_lookup_kb(read_lookup_kb(old)))
    assert found == list(entities_from_lookup_kb(kb))


def test_strings_that_are_missing_are_asked_for(kb, pipeline, tmp_path):
    kb.to_disk(tmp_path / "lookup", exclude=["strings"])
    hashes = [str(kb.vocab.strings[name]) for name in (*ENTITIES, *ALIASES)]
    message = failure(run(tmp_path / "lookup", tmp_path / "out.jsonl"))
    assert any(f"hash {number}," in message for number in hashes)
    assert "--vocab" in message
    for vocab in (pipeline, pipeline / "vocab", pipeline / "vocab" / "strings.json"):
        found = read_lookup_kb(tmp_path / "lookup", vocab)
        assert sorted(found.get_alias_strings()) == sorted(ALIASES)
    message = failure(run(tmp_path / "lookup", tmp_path / "o", "--vocab", tmp_path))
    assert "strings.json" in message


def test_it_is_a_registered_source(kb, tmp_path):
    kb.to_disk(tmp_path / "kb")
    table = tmp_path / "titles.tsv"
    table.write_text(f"id\ttitle\n{kb.get_entity_strings()[0]}\tA title\n")
    settings = {"path": str(tmp_path / "kb"), "titles": str(table)}
    entities = list(registered_entities("spacy-dwe.SpacyKBSource.v1", settings))
    assert {entity.id for entity in entities} == set(kb.get_entity_strings())
    assert "A title" in {entity.title for entity in entities}


def test_titles_and_descriptions_come_from_a_table(kb, tmp_path):
    kb.to_disk(tmp_path / "lookup")
    table = tmp_path / "titles.csv"
    table.write_text(
        "id,title,description\nQ230,Georgia,A country\nQ1,Universe,\nQ0,Nothing,\n"
    )
    out = tmp_path / "out.jsonl"
    result = run(tmp_path / "lookup", out, "--titles", table)
    assert result.exit_code == 0, result.output
    assert "1 ids are not in the KnowledgeBase, such as 'Q0'" in result.stderr
    texts = {
        entity.id: (entity.title, entity.description) for entity in read_entities(out)
    }
    assert texts["Q230"] == ("Georgia", "A country")
    assert texts["Q1"] == ("Universe", "")
    assert texts["Q1428"] == ("Peach State", "")
    table.write_text("id,title\nQ230,\n")
    message = failure(run(tmp_path / "lookup", out, "--titles", table))
    assert "titles.csv, line 2, column 'title'" in message


@pytest.mark.parametrize("keep", [0, 7, 16, 60, -30, -13, -1, 99999])
def test_a_damaged_kb_is_one_line(kb, tmp_path, keep):
    """spaCy itself reads past the end of a file that was cut off."""
    kb.to_disk(tmp_path / "lookup")
    contents = tmp_path / "lookup" / "contents"
    data = contents.read_bytes()
    contents.write_bytes(data + data if keep > len(data) else data[:keep])
    message = failure(run(tmp_path / "lookup", tmp_path / "out.jsonl"))
    assert f"{contents} is no InMemoryLookupKB" in message
    assert not (tmp_path / "out.jsonl").exists()


def test_noise_is_no_kb(kb, tmp_path):
    noise = np.random.default_rng(0)
    for size in range(1, 200):
        (tmp_path / "contents").write_bytes(noise.bytes(size))
        with pytest.raises(DweError, match="E148"):
            read_lookup_kb(tmp_path)


def test_a_kb_of_any_size_is_read(tmp_path):
    """Its first byte is "{" where it holds 123 entities."""
    kb = InMemoryLookupKB(spacy.blank("en").vocab, entity_vector_length=1)
    for number in range(123):
        kb.add_entity(f"Q{number}", freq=1, entity_vector=[1])
    kb.to_disk(tmp_path)
    assert (tmp_path / "contents").read_bytes()[:1] == b"{"
    assert len(read_lookup_kb(tmp_path)) == 123


def test_what_is_no_kb_is_one_line(kb, pipeline, tmp_path):
    out = tmp_path / "out.jsonl"
    assert "File not found" in failure(run(tmp_path / "nothing", out))
    assert "holds no KnowledgeBase of spaCy" in failure(run(tmp_path, out))
    reference = tmp_path / "own" / "entity_linker" / "kb"
    reference.parent.mkdir(parents=True)
    reference.write_text('{"kb": "/some/where.kb"}')
    message = failure(run(tmp_path / "own", out))
    assert "refers to a KnowledgeBase of another kind" in message
    shutil.copytree(pipeline, tmp_path / "two")
    linker = tmp_path / "two" / "entity_linker"
    shutil.copytree(linker, linker.with_name("other_linker"))
    message = failure(run(tmp_path / "two", out))
    assert "several" in message
    assert str(linker / "kb") in message
    InMemoryLookupKB(kb.vocab, entity_vector_length=2).to_disk(tmp_path / "empty")
    assert "no entities" in failure(run(tmp_path / "empty", out))


def test_what_is_no_probability_is_refused(kb):
    kb.add_alias("Bad", ["Q1"], [-0.5])
    with pytest.raises(DweError, match=r"-0\.5 is no prior of its alias 'Bad'"):
        list(entities_from_lookup_kb(kb))
