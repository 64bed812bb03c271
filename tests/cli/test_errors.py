import warnings

import pytest

from spacy_dwe.cli.errors import clear_errors, warning_lines
from spacy_dwe.errors import DweError


def fail_with(error):
    @clear_errors
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    "error, line",
    [
        (DweError("[DWE-E001] File not found:\n  a.jsonl"), "File not found: a.jsonl"),
        (FileNotFoundError(2, "No such file", "a.jsonl"), "a.jsonl: No such file"),
        (PermissionError(13, "Permission denied", "/kb"), "/kb: Permission denied"),
        (OSError("disk is full"), "disk is full"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(capsys, error, line):
    with pytest.raises(SystemExit) as stopped:
        fail_with(error)()
    assert stopped.value.code == 1
    stderr = capsys.readouterr().err
    assert line in stderr and len(stderr.splitlines()) == 1


def test_an_interrupt_has_the_shells_status(capsys):
    with pytest.raises(SystemExit) as stopped:
        fail_with(KeyboardInterrupt())()
    assert stopped.value.code == 130


def test_what_is_our_mistake_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        fail_with(ZeroDivisionError())()


def test_a_command_keeps_its_signature():
    @clear_errors
    def command(path: str, n: int = 3) -> int:
        """Do it."""
        return n

    assert command("x") == 3
    assert command.__doc__ == "Do it." and command.__wrapped__


def test_warnings_are_lines_and_not_too_many(capsys):
    told = []
    with warning_lines(told.append):
        for number in range(25):
            warnings.warn(f"picture {number}", stacklevel=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "picture 0" and "5 warnings more" in lines[-1]
    assert len(lines) == 21 and len(told) == 25


def test_silent_leaves_warnings_to_python():
    told = []
    with pytest.warns(UserWarning, match="picture"), warning_lines(told.append, True):
        warnings.warn("picture", stacklevel=1)
    assert told == ["picture"]
