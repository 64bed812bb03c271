"""A server that speaks as much of the Hugging Face hub's protocol as its client needs,
and can misbehave."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

SMALL = 10_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves folders as repositories, at `url`.

    folders (dict[str, Path]): by repository.
    ranges (list[str]): the Range headers that arrived.
    paths (list[str]): what was asked for.
    cut (int | None): bytes after which the next download of weights breaks off.
    damaged (bool): weights have a byte that is another one.
    pause (float): seconds before each 64 KiB of weights.
    """

    def __init__(self):
        self.folders, self.ranges, self.paths = {}, [], []
        self.cut, self.damaged, self.pause = None, False, 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def info(self, path):
        """What the hub says of a repository; None at other paths."""
        name = path.removeprefix("/api/models/")
        if name == path or name not in self.folders:
            return None
        files = [{"rfilename": file.name} for file in self.folders[name].iterdir()]
        return json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode()

    def file(self, path):
        """The bytes at a path, None if there are none, and their checksum as the hub
        states it."""
        repository, found, rest = path.lstrip("/").partition("/resolve/")
        folder = self.folders.get(unquote(repository))
        file = folder / rest.partition("/")[2] if found and folder else Path("none")
        if not file.is_file():
            return None, ""
        content = file.read_bytes()
        # Small files are called as git calls them.
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if len(content) > SMALL:
            digest = hashlib.sha256(content).hexdigest()
        if self.damaged and len(content) > SMALL:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return content, digest

    def _handler(hub):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self._answer(with_body=False)

            def do_GET(self):
                self._answer(with_body=True)

            def _answer(self, with_body):
                hub.paths.append(self.path)
                if info := hub.info(self.path):
                    self._say(200, info if with_body else b"")
                    return
                content, digest = hub.file(self.path)
                if content is None:
                    self._say_missing()
                    return
                start = 0
                if wanted := self.headers.get("Range"):
                    hub.ranges.append(wanted)
                    start = int(wanted.removeprefix("bytes=").partition("-")[0])
                self.send_response(206 if start else 200)
                if start:
                    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                    self.send_header("Content-Range", span)
                self.send_header("Content-Length", str(len(content) - start))
                self.send_header("ETag", f'"{digest}"')
                self.send_header("X-Linked-Etag", f'"{digest}"')
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                if with_body:
                    self._send(content[start:])

            def _send(self, content):
                if hub.cut is not None and len(content) > hub.cut:
                    self.wfile.write(content[: hub.cut])
                    hub.cut, self.close_connection = None, True
                    return
                step = 2**16
                for start in range(0, len(content), step):
                    if hub.pause:
                        threading.Event().wait(hub.pause)
                    self.wfile.write(content[start : start + step])

            def _say_missing(self):
                path = self.path.removeprefix("/api/models")
                there = path.startswith(tuple(f"/{name}/" for name in hub.folders))
                code = "EntryNotFound" if there else "RepoNotFound"
                self._say(404, b"", ("X-Error-Code", code))

            def _say(self, status, content, *headers):
                self.send_response(status)
                length = ("Content-Length", str(len(content)))
                for header in (*headers, length):
                    self.send_header(*header)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        return Handler
