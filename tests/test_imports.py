"""Installed, the package costs nothing until something is linked (invariant 7)."""

import pytest

HEAVY = {"open_clip", "timm", "torchvision", "transformers", "tantivy", "cv2"}
OURS = {"spacy_dwe.model.dwe", "spacy_dwe.encoders", "spacy_dwe.encoders.clip"}


@pytest.fixture(scope="module")
def heavy_after(fresh_python):
    """Heavy modules that a fresh Python has in memory after some code."""

    def ask(code):
        done = fresh_python(
            f"{code}\nimport sys\n"
            f"print(*({HEAVY | OURS!r} & sys.modules.keys()), file=sys.stderr)"
        )
        assert done.returncode == 0, done.stderr
        return set(done.stderr.split())

    return ask


@pytest.mark.parametrize(
    "code",
    [
        """
import spacy_dwe
import spacy
nlp = spacy.blank("en")
linker = nlp.add_pipe("dwe_linker")
assert nlp("Nothing to link.").text
spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
""",
        """
import runpy, sys
sys.argv = ["spacy", "--help"]
try:
    runpy.run_module("spacy", run_name="__main__")
except SystemExit as done:
    assert not done.code
assert "spacy_dwe.cli" in sys.modules
assert "spacy_dwe.pipeline" not in sys.modules
""",
        """
import spacy
from spacy_dwe.training.logger import console_logger
nlp = spacy.blank("en")
nlp.add_pipe("dwe_linker")
nlp.config["training"] = {"max_steps": 1, "max_epochs": 0, "eval_frequency": 1}
nlp.config["training"]["score_weights"] = {}
log_step, finalize = console_logger("eval")(nlp)
finalize()
""",
    ],
    ids=["add_pipe", "command line", "logger"],
)
def test_nothing_heavy_is_imported(heavy_after, code):
    assert not heavy_after(code)


def test_encoders_are_not_imported_before_they_are_needed(heavy_after, names_kb):
    """Not when they stand in a config, nor for linking by names."""
    code = f"""
import spacy
from spacy.tokens import Span
clip = {{"@misc": "spacy-dwe.ClipEncoder.v1", "model": "ViT-B-32"}}
text = {{"@misc": "spacy-dwe.TextEncoder.v1", "name": "all-MiniLM-L6-v2"}}
nlp = spacy.blank("en")
nlp.add_pipe("dwe_linker", config={{"clip": clip, "text_encoder": text}})
nlp = spacy.blank("en")
nlp.add_pipe("dwe_linker", config={{"channels": ["name"]}}).load_kb({str(names_kb)!r})
doc = nlp.make_doc("Georgia won.")
doc.ents = [Span(doc, 0, 1, "PLACE")]
assert nlp(doc).ents[0].kb_id_ == "Georgia-blue"
"""
    needed = {"tantivy", "spacy_dwe.model.dwe", "spacy_dwe.encoders"}
    assert heavy_after(code) <= needed
