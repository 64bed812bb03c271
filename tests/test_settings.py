"""Settings are written once, and checked whenever they are set."""

import inspect
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import spacy
from spacy.util import load_config, load_model_from_config
from thinc.api import ConfigValidationError
from typer.testing import CliRunner

from spacy_dwe.channels import CHANNELS
from spacy_dwe.cli import dwe_cli
from spacy_dwe.errors import DweError
from spacy_dwe.kb.generators import exact_candidates
from spacy_dwe.model.architectures import build_dwe
from spacy_dwe.pipeline import make_dwe_linker
from spacy_dwe.settings import DweSettings, LinkerSettings, defaults

CONFIGS = Path(__file__).parent.parent / "configs"
ARCHITECTURE = {"@architectures": "spacy-dwe.DWE.v1"}
MISTAKES = [
    ("n_candidates", 0, "at least 1"),
    ("n_candidates", "5", "a whole number"),
    ("n_candidates", True, "a whole number"),
    ("top_k", -1, "at least 0"),
    ("top_k", 2.5, "a whole number"),
    ("threshold", 7, "from 0 to 1"),
    ("threshold", float("nan"), "from 0 to 1"),
    ("use_images", "no", "true or false"),
    ("device", "cuda:first", "auto"),
    ("device", None, "text"),
    ("channels", "name", "a list"),
    ("channels", [], "name, prior"),
]


def settings(**changed):
    return LinkerSettings(generate_candidates=exact_candidates(), **changed)


@pytest.fixture
def linker():
    return spacy.blank("en").add_pipe("dwe_linker")


@pytest.mark.parametrize("name, value, expected", MISTAKES)
def test_a_setting_is_checked_in_code_and_as_an_attribute(
    linker, name, value, expected
):
    for change in (
        lambda: settings(**{name: value}),
        lambda: setattr(linker, name, value),
        lambda: setattr(linker, "settings", replace(linker.settings, **{name: value})),
    ):
        with pytest.raises(DweError, match=f"E5.*{expected}"):
            change()
    assert getattr(linker, name) == getattr(
        spacy.blank("en").add_pipe("dwe_linker"), name
    ), "nothing has changed"


def test_unknown_channels_are_refused_where_channels_are_known(linker):
    with pytest.raises(DweError, match=r"E500.*smell.*name, prior"):
        linker.channels = ["name", "smell"]
    assert "text" in linker.channels


@pytest.mark.parametrize(
    "misspelt, meant",
    [("treshold", "threshold"), ("n_candidate", "n_candidates"), ("x", "top_k")],
)
def test_a_misspelt_attribute_is_an_error(linker, misspelt, meant):
    with pytest.raises(DweError, match=f"E527.*{misspelt}.*{meant}"):
        setattr(linker, misspelt, 0.3)
    with pytest.raises(AttributeError, match=misspelt):
        getattr(linker, misspelt)


def test_every_setting_is_read_and_changed_as_an_attribute(linker):
    before = linker.settings
    for field in fields(LinkerSettings):
        if field.name != "kb":
            setattr(linker, field.name, getattr(linker, field.name))
    assert linker.settings == before
    linker.threshold = 0.3
    linker.channels = ["text", "name"]
    assert (linker.threshold, linker.settings.threshold) == (0.3, 0.3)
    assert linker.channels == ["name", "text"], "in the order of their columns"
    with pytest.raises(FrozenInstanceError):
        linker.settings.threshold = 0.5
    with pytest.raises(DweError, match=r"other\.kb"):
        linker.kb = "other.kb"


def test_attributes_of_spacys_own_still_work(linker):
    linker.name, linker.cfg = "places", {"mine": 1}
    linker.set_error_handler(print)
    assert (linker.name, linker.cfg) == ("places", {"mine": 1})
    assert linker.get_error_handler() is print


def test_evidence_serves_as_long_as_what_it_follows_from_is_the_same():
    first = settings()
    for later in ({"threshold": 0.5}, {"top_k": 3}, {"overwrite": False}):
        assert replace(first, **later).of_evidence == first.of_evidence
    for other in ({"n_candidates": 3}, {"channels": ["name"]}, {"fetch_urls": True}):
        assert replace(first, **other).of_evidence != first.of_evidence


@pytest.mark.parametrize(
    "function, kind", [(make_dwe_linker, LinkerSettings), (build_dwe, DweSettings)]
)
def test_functions_take_the_fields_of_their_settings(function, kind):
    taken = inspect.signature(function).parameters
    for field in fields(kind):
        assert taken[field.name].annotation == field.type
        assert f"    {field.name}" in kind.__doc__ or f", {field.name}" in kind.__doc__
    assert not any(p.kind is p.VAR_KEYWORD for p in taken.values())


@pytest.mark.parametrize(
    "config, complaint",
    [
        ({"treshold": 0.3}, "unexpected argument: 'treshold'"),
        ({"threshold": "high"}, "threshold"),
        ({"channels": "name"}, "channels"),
        ({"model": {**ARCHITECTURE, "widht": 8}}, "unexpected argument: 'widht'"),
        ({"model": {**ARCHITECTURE, "width": "broad"}}, "width"),
        ({"model": {**ARCHITECTURE, "gate": 1}}, "gate"),
    ],
)
def test_a_config_with_other_names_or_types_is_refused_as_spacy_does(config, complaint):
    with pytest.raises(ConfigValidationError, match=complaint):
        spacy.blank("en").add_pipe("dwe_linker", config=config)


@pytest.mark.parametrize(
    "setting, expected",
    [
        ({"width": 0}, "at least 1"),
        ({"dropout": 2}, "from 0 to 1"),
        ({"nil_dropout": -0.1}, "from 0 to 1"),
        ({"rare_word_negatives": -1}, "at least 0"),
        ({"head": "deep"}, "linear, dwe, plain"),
    ],
)
def test_settings_of_the_network_are_checked(setting, expected):
    with pytest.raises(DweError, match=f"E51[47].*{next(iter(setting))}.*{expected}"):
        build_dwe(**setting)


def test_saved_weights_keep_their_head(trained, described_kb, tmp_path):
    """Also where the config does not name it, or names another."""
    trained.to_disk(tmp_path / "model")
    config = trained.config.copy()
    doc = trained("We saw Georgia again.")
    for change in ("left out", "linear"):
        model = config["components"]["dwe_linker"]["model"]
        model["head"] = change
        if change == "left out":
            del model["head"]
        nlp = load_model_from_config(config, auto_fill=True).from_disk(
            tmp_path / "model", exclude=["config"]
        )
        shim = nlp.get_pipe("dwe_linker").network_shim
        assert shim.settings.head == "linear"
        assert shim.network.spec.head == "dwe"
        assert shim.to_bytes() == trained.get_pipe("dwe_linker").network_shim.to_bytes()
        assert [ent.kb_id_ for ent in nlp("We saw Georgia again.").ents] == [
            ent.kb_id_ for ent in doc.ents
        ]


def init_config(*arguments):
    return CliRunner().invoke(dwe_cli, ["init-config", *map(str, arguments)])


def test_the_shipped_config_is_what_the_command_writes(tmp_path):
    out = tmp_path / "new" / "my.cfg"
    assert init_config(out).exit_code == 0
    assert out.read_bytes() == (CONFIGS / "default.cfg").read_bytes()
    assert init_config(out).exit_code == 1, "it does not replace a file unasked"
    assert init_config(out, "--lang", "xx", "--overwrite").exit_code == 0
    assert load_config(out)["nlp"]["lang"] == "xx"


def test_there_is_one_set_of_defaults(linker):
    """Of the recommended config, of `add_pipe` and of the settings themselves."""
    nlp = spacy.blank("en")
    nlp.add_pipe("dwe_linker")
    own = nlp.config["components"]["dwe_linker"]
    shipped = load_config(CONFIGS / "default.cfg", interpolate=False)
    assert shipped["components"]["dwe_linker"] == own
    assert own.pop("factory") == "dwe_linker"
    assert own.pop("model") == {**ARCHITECTURE, **defaults(DweSettings)}
    generator = own["generate_candidates"].pop("use_context")
    assert generator is True
    assert own == defaults(LinkerSettings)
    assert own["channels"] == list(CHANNELS), "all there are"
    assert linker.settings == replace(
        settings(),
        generate_candidates=linker.generate_candidates,
        scorer=linker.scorer,
    )


class Constant:
    """A channel that says the same of every candidate."""

    columns: ClassVar = {"one": 2.0}
    reads = ()

    def compute(self, mentions, candidates, kb):
        return np.ones((len(candidates.rows), 1), dtype=np.float32), True


def test_channels_from_outside_come_and_go(names_kb, pipeline, document):
    nlp = pipeline(names_kb, channels=["name"])
    linker = nlp.get_pipe("dwe_linker")

    def scored():
        (ent,) = nlp(document("Georgia won.", vocab=nlp.vocab)).ents
        return ent._.kb_candidates[0].scores

    assert set(scored()) == {"name"}
    linker.more_channels = {"constant": Constant()}
    assert linker.channels == ["name", "constant"]
    assert scored()["constant"] == pytest.approx(2.0, abs=1e-4)
    linker.channels = ["name"]
    assert set(scored()) == {"name"}
    linker.channels = ["constant", "name"]
    linker.more_channels = {}
    assert linker.channels == ["name"]
    assert set(scored()) == {"name"}


def test_the_kb_is_set_by_path_or_as_it_is(names_kb):
    linker = spacy.blank("xx").add_pipe("dwe_linker")
    linker.kb = names_kb
    first = linker.kb
    linker.kb = first
    assert linker.kb is first


def test_the_guide_recommends_what_is_trained_untold(described_kb, pipeline, examples):
    """Defaults, the config and the command are one, see above."""
    nlp = pipeline(described_kb)
    nlp.initialize(lambda: examples(nlp))
    head = nlp.get_pipe("dwe_linker").network_shim.network.spec.head
    guide = (CONFIGS.parent / "docs" / "training.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith('| `"')]
    assert [row.split('"')[1] for row in rows if "it is the default" in row] == [head]
