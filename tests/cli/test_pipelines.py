import pytest
import spacy

from spacy_dwe.building.build import build_kb
from spacy_dwe.cli.options import load_linking_pipeline, parse_channels, parse_overrides
from spacy_dwe.errors import DweError
from spacy_dwe.kb.entity import Entity


@pytest.fixture(scope="module")
def kb_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    build_kb([Entity("Q1", "Georgia", "country"), Entity("Q2", "Samoa")], path)
    return path


def test_a_blank_pipeline_and_a_kb_are_enough_to_link(kb_path):
    nlp, linker = load_linking_pipeline("blank:en", kb_path)
    assert nlp.pipe_names == ["dwe_linker"]
    assert linker.kb is not None
    assert len(linker.kb) == 2


def test_a_saved_pipeline_brings_its_kb(kb_path, tmp_path):
    nlp, _ = load_linking_pipeline("blank:de", kb_path, channels=["name"])
    nlp.to_disk(tmp_path / "model")
    loaded, linker = load_linking_pipeline(tmp_path / "model")
    assert loaded.lang == "de"
    assert linker.kb is not None
    assert linker.kb.path == kb_path.resolve()


def test_a_pipeline_without_a_linker_gets_one(kb_path, tmp_path):
    other = spacy.blank("en")
    other.add_pipe("sentencizer")
    other.to_disk(tmp_path / "model")
    overrides = {"components.dwe_linker.threshold": 0.4}
    nlp, linker = load_linking_pipeline(tmp_path / "model", kb_path, None, overrides)
    assert nlp.pipe_names == ["sentencizer", "dwe_linker"]
    assert linker.threshold == 0.4
    with pytest.raises(DweError, match="--kb"):
        load_linking_pipeline(tmp_path / "model")


def test_channels_and_overrides_rule(kb_path, tmp_path):
    overrides = {"components.dwe_linker.n_candidates": 7, "nlp.batch_size": 11}
    nlp, linker = load_linking_pipeline("blank:en", kb_path, ["name"], overrides)
    assert linker.channels == ["name"]
    assert linker.n_candidates == 7
    assert nlp.batch_size == 11
    nlp.to_disk(tmp_path / "model")
    overrides = {"components.dwe_linker.n_candidates": 3}
    _, linker = load_linking_pipeline(tmp_path / "model", None, None, overrides)
    assert linker.n_candidates == 3


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("no/such/folder", "no/such/folder"),
        ("blank:zz", "blank:zz"),
        ("blank:en", "--kb"),
    ],
)
def test_what_cannot_be_loaded_is_named_on_one_line(pipeline, message):
    with pytest.raises(DweError) as raised:
        load_linking_pipeline(pipeline)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_kb_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DweError, match=r"missing\.kb"):
        load_linking_pipeline("blank:en", tmp_path / "missing.kb")


def test_a_setting_that_does_not_exist_is_one_line(kb_path):
    overrides = {"components.dwe_linker.treshold": 0.3}
    with pytest.raises(DweError, match="treshold") as raised:
        load_linking_pipeline("blank:en", kb_path, None, overrides)
    assert "\n" not in str(raised.value)


def test_overrides_from_arguments():
    arguments = ["--components.dwe_linker.threshold", "0.5", "--nlp.batch_size=2"]
    assert parse_overrides(arguments) == {
        "components.dwe_linker.threshold": 0.5,
        "nlp.batch_size": 2,
    }
    assert parse_overrides([]) == {}


@pytest.mark.parametrize("arguments", [["--treshold", "0.3"], ["stray"]])
def test_a_mistyped_option_is_an_error_that_names_it(arguments):
    with pytest.raises(DweError, match=arguments[0]):
        parse_overrides(arguments)


def test_channels_from_an_argument():
    assert parse_channels("name, prior") == ["name", "prior"]
    assert parse_channels(None) is None
    with pytest.raises(DweError, match="names no channel"):
        parse_channels(" , ")
