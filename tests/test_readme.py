"""README's example of a pipeline that finds names which the KB does not hold."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(
    r"```python\n([^`]*build_kb[^`]*)```\n\n```text\n(.*?)```", re.DOTALL
)


def test_the_pipeline_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    (example,) = EXAMPLE.findall(README.read_text(encoding="utf-8"))
    code, printed = example
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == printed
