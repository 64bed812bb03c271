"""Pictures given by URL, from a real server on this host."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from spacy_dwe.errors import DweError
from spacy_dwe.images import ImageRef, content_hash, load, read_bytes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """URL of a server of a folder that holds flag.png."""
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    Image.new("RGB", (8, 6), "red").save(tmp_path / "flag.png")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_picture_is_downloaded_on_request_only(site, tmp_path):
    ref = ImageRef(path=f"{site}/flag.png")
    with pytest.raises(DweError, match=r"E203.*fetch_urls"):
        read_bytes(ref)
    key, picture = load(ref, fetch_urls=True)
    assert key == content_hash((tmp_path / "flag.png").read_bytes())
    assert picture.size == (8, 6)


def test_a_missing_picture_is_one_clear_error(site):
    with pytest.raises(DweError, match=r"E202.*missing\.png.*404"):
        read_bytes(ImageRef(path=f"{site}/missing.png"), fetch_urls=True)


def test_a_picture_on_a_private_address_is_fetched_where_that_is_allowed(
    site, monkeypatch
):
    monkeypatch.delenv("DWE_ALLOW_PRIVATE_URLS")
    with pytest.raises(DweError, match=r"E216.*DWE_ALLOW_PRIVATE_URLS=1"):
        read_bytes(ImageRef(path=f"{site}/flag.png"), fetch_urls=True)
