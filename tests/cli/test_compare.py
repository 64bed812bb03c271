import json

import pytest
from made_outcomes import outcome
from typer.testing import CliRunner

from spacy_dwe.cli import dwe_cli
from spacy_dwe.cli.compare import compare
from spacy_dwe.errors import DweError
from spacy_dwe.files import write_jsonl


@pytest.fixture
def run(tmp_path):
    """Write predictions with a hit wherever the number of the mention allows."""

    def write(name, is_hit, n=60, protocol="candidates"):
        path = tmp_path / f"{name}.jsonl"
        outcomes = [outcome(1 if is_hit(i) else 2, document=str(i)) for i in range(n)]
        write_jsonl(path, [{"protocol": protocol, **o.to_json()} for o in outcomes])
        return path

    return write


def test_runs_are_compared_with_the_first(run, tmp_path):
    base, better = run("base", lambda i: i % 2), run("better", lambda i: i % 6)
    output = tmp_path / "out" / "table.json"
    records = compare([base, better], output=output, draws=500)
    assert json.loads(output.read_text()) == {
        "protocol": "candidates",
        "comparisons": records,
    }
    assert records[0]["verdict"] == "better"
    assert records[0]["difference"] == pytest.approx(20 / 60, abs=1e-6)


def test_the_table_says_what_is_not_shown(run):
    base, same = run("base", lambda i: i % 2), run("same", lambda i: (i + 1) % 2)
    arguments = ["compare", str(base), str(same), "--draws", "200"]
    result = CliRunner().invoke(dwe_cli, arguments)
    assert result.exit_code == 0
    assert "not shown" in result.output
    assert "p (Holm)" in result.output


def test_runs_that_cannot_be_compared_are_both_named(run):
    base = run("base", bool)
    other = run("other", bool, n=59)
    with pytest.raises(DweError, match=r"base\.jsonl and .*other\.jsonl.*mentions"):
        compare([base, other])
    full = run("full", bool, protocol="full")
    with pytest.raises(DweError, match=r"'candidates' and 'full'"):
        compare([base, full])
