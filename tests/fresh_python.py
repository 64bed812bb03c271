"""Runs code as a fresh Python does that has imported spaCy and nothing else. It is a
fork of one that was started once, since importing spaCy takes seconds."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

SERVER = """
import contextlib, json, os, signal, sys
import spacy

for line in sys.stdin:
    code, arguments, out, err, timeout = json.loads(line)
    if not (child := os.fork()):
        os.setpgid(0, 0)
        for path, stream in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.alarm(timeout)
        sys.argv = ["-c", *arguments]
        status = 1
        try:
            exec(code, {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class FreshPython:
    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, code: str, *arguments: object, timeout: int = 120
    ) -> CompletedProcess[str]:
        """Run code, with arguments in `sys.argv`.

        timeout (int): seconds after which it is killed, with its own children.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("out", "err")]
            for path in files:
                path.touch()
            order = [code, [str(each) for each in arguments], *map(str, files), timeout]
            print(json.dumps(order), file=self._server.stdin, flush=True)
            status = int(self._server.stdout.readline())
            return CompletedProcess(code, status, *(path.read_text() for path in files))

    def close(self) -> None:
        self._server.communicate()
