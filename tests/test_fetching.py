"""Files by URL: what is fetched, and what is not."""

import gzip
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from spacy_dwe.about import __version__
from spacy_dwe.errors import DweError
from spacy_dwe.fetching import FetchError, Transport, fetch, is_private
from spacy_dwe.images import ImageRef, read_bytes


class Site(ThreadingHTTPServer):
    """Serves /file, and answers /moved?URL with a redirect to that URL."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        name, _, query = self.path[1:].partition("?")
        getattr(self, name, self.missing)(query)

    def file(self, query):
        self.answer(200, b"12345678")

    def packed(self, query):
        self.answer(200, gzip.compress(b"12345678"), **{"Content-Encoding": "gzip"})

    def moved(self, query):
        self.answer(302, b"", Location=query)

    def missing(self, query):
        self.answer(404, b"not here")

    def busy(self, query):
        self.answer(503, b"", **{"Retry-After": "7"})

    def cut(self, query):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"1234")

    def trickle(self, query):
        """A byte of the body at a time, or of the headers."""
        start = b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if query == "body" else b"X-A: ")
        self.wfile.write(start)
        for _ in range(100):
            self.wfile.write(b"1")
            time.sleep(0.05)

    def answer(self, status, body, **headers):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.02,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def allowed(monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_this_machine_is_not_asked_unless_it_is_allowed(site, host, monkeypatch):
    url = site.url("file", host)
    with pytest.raises(DweError, match=r"E216.*/file.*DWE_ALLOW_PRIVATE_URLS=1"):
        fetch(url)
    assert site.asked == []
    assert fetch(url, allow_private=True) == b"12345678"
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    assert fetch(url) == b"12345678"
    with pytest.raises(DweError, match="E216"):
        fetch(url, allow_private=False)


@pytest.mark.parametrize(
    "host",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
        *("224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "[::1]", "[::]"),
        *("[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[::ffff:10.0.0.1]"),
        *("[64:ff9b::10.0.0.1]", "[2002:a00:1::]", "[2001:db8::1]"),
        *("192.0.0.100", "192.88.99.1"),
    ],
)
def test_nor_is_what_lies_in_its_network(host):
    with pytest.raises(DweError, match="E216"):
        fetch(f"http://{host}/", max_seconds=0.5)


@pytest.mark.parametrize("value", ["", "0", "no", "false", "False", "off"])
def test_only_1_allows_private_addresses(site, value, monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", value)
    with pytest.raises(DweError, match=r"E216.*: 127\.0\.0\.1 is a private address"):
        fetch(site.url("file"))
    assert site.asked == []


def test_a_hosts_own_addresses_say_whether_it_is_private():
    assert is_private("http://localhost/w/api.php")
    assert is_private("http://[::1]:8080/")
    assert not is_private("https://192.0.32.8/")
    assert not is_private("http://no-such-host.invalid/")


def test_no_message_shows_a_password(site, monkeypatch):
    at = f"user:p@ss@127.0.0.1:{site.server_port}"
    with pytest.raises(DweError, match="E216") as private:
        fetch(f"http://{at}/file")
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    with pytest.raises(FetchError, match="E202") as missing:
        fetch(f"http://{at}/nowhere")
    with pytest.raises(FetchError, match=r"E202.*is no address of http") as moved:
        fetch(f"http://{at}/moved?ftp://{at}/")
    with pytest.raises(DweError, match="E203") as closed:
        read_bytes(ImageRef(path=f"http://{at}/file"))
    for error in (private, missing, moved, closed):
        assert "ss@" not in str(error.value) and "user" not in str(error.value)
        assert f"http://127.0.0.1:{site.server_port}/" in str(error.value)
    assert ImageRef(path=f"https://{at}/a@b.png").name == (
        f"https://127.0.0.1:{site.server_port}/a@b.png"
    )
    assert ImageRef(path="photos/a@b.png").name == "photos/a@b.png"


def test_a_name_that_means_another_address_later_gains_nothing(site, monkeypatch):
    """The first answer is public, every later one is this machine."""
    asked, getaddrinfo = [], socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        if host != "rebinding.example":
            return getaddrinfo(host, *args, **kwargs)
        asked.append(host)
        address = "192.0.32.8" if len(asked) == 1 else "127.0.0.1"
        return getaddrinfo(address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(FetchError):
        fetch(site.url("file", "rebinding.example"), max_seconds=0.3)
    assert len(asked) == 1 and site.asked == []


def test_one_private_address_of_several_is_enough(monkeypatch):
    addresses = [(socket.AF_INET, 1, 6, "", (a, 0)) for a in ("192.0.32.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: addresses)
    with pytest.raises(DweError, match=r"E216.*two\.example \(10\.0\.0\.1\)"):
        fetch("http://two.example/")


def test_redirects_are_followed_and_each_is_checked(site, allowed):
    assert fetch(site.url("moved?/file")) == b"12345678"
    assert fetch(site.url("moved?" + site.url("file", "localhost"))) == b"12345678"
    assert site.asked[-1][1]["Host"] == f"localhost:{site.server_port}"
    for target in ("file:///etc/passwd", "ftp://example.org/a", "gopher://127.0.0.1/"):
        with pytest.raises(FetchError, match=r"E202.*moved.* is no address of http"):
            fetch(site.url(f"moved?{target}"))
    with pytest.raises(FetchError, match="more than 5 redirects"):
        fetch(site.url("moved?/moved?/moved?/moved?/moved?/moved?/file"))


def test_a_redirect_to_a_private_address_is_refused(site, monkeypatch):
    """From a public host, for which this one stands."""
    monkeypatch.setattr("spacy_dwe.fetching._is_public", lambda a: a != "127.0.0.2")
    with pytest.raises(DweError, match=r"E216.*moved.*127\.0\.0\.2"):
        fetch(site.url("moved?" + site.url("file", "127.0.0.2")))
    assert len(site.asked) == 1


def test_limits_of_size_and_time(site, allowed):
    assert fetch(site.url("file"), max_bytes=8) == b"12345678"
    with pytest.raises(FetchError, match="larger than") as failed:
        fetch(site.url("file"), max_bytes=7)
    assert not failed.value.may_pass
    for part in ("body", "headers"):
        begin = time.monotonic()
        with pytest.raises(FetchError, match=r"no answer in time, 0\.3 s") as failed:
            fetch(site.url(f"trickle?{part}"), max_seconds=0.3)
        assert time.monotonic() - begin < 2 and failed.value.may_pass


def test_a_client_of_httpx_has_the_same_policy(site):
    transport = Transport(max_bytes=99, max_seconds=0.3)
    with httpx.Client(transport=transport, follow_redirects=True) as client:
        with pytest.raises(DweError, match="E216"):
            client.get(site.url("file"))
        assert site.asked == []
        transport.allow_private = True
        assert client.get(site.url("moved?/packed")).content == b"12345678"
        assert client.get(site.url("nowhere")).status_code == 404
        with pytest.raises(FetchError, match="no answer in time"):
            client.get(site.url("trickle?body"))
        with pytest.raises(FetchError, match="no connection"):
            client.get(site.url("cut"))
        transport.max_bytes = 7
        with pytest.raises(FetchError, match="larger than"):
            client.get(site.url("file"))


@pytest.mark.parametrize(
    ("path", "message", "may_pass", "retry_after"),
    [
        ("nowhere", "HTTP 404 Not Found", False, None),
        ("busy", "HTTP 503 Service Unavailable", True, "7"),
        ("cut", "no connection", True, None),
    ],
)
def test_what_fails_is_one_line(site, allowed, path, message, may_pass, retry_after):
    with pytest.raises(FetchError, match=f"E202.*/{path} .*{message}") as failed:
        fetch(site.url(path))
    assert (failed.value.may_pass, failed.value.retry_after) == (may_pass, retry_after)
    assert len(str(failed.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://example.org/a", "http://", "http:///a", "a.png"),
        *("http://[::1", "http://a\nb/", "http://no-such-host.invalid/", ""),
        *(f"http://{'a' * 64}.org/", "http://127.0.0.1:99999/"),
    ],
)
def test_what_is_no_address_is_one_line(url, allowed):
    with pytest.raises(FetchError, match="E202") as failed:
        fetch(url, max_seconds=5)
    assert "Traceback" not in str(failed.value)


def test_the_server_learns_who_asks_and_packs_nothing(site, allowed):
    fetch(site.url("file"))
    headers = site.asked[0][1]
    assert headers["User-Agent"] == f"spacy-dwe/{__version__}"
    assert headers["Accept-Encoding"] == "identity"


def test_a_proxy_of_the_environment_is_used(site, monkeypatch):
    """It looks names up itself, so one that is unknown here is no mistake."""
    monkeypatch.setenv("http_proxy", site.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch("http://no-such-host.invalid/file")
    assert site.asked[0][0] == "http://no-such-host.invalid/file"
    with pytest.raises(DweError, match="E216"):
        fetch("http://10.0.0.1/file")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "socks4://[::1]", "ftp://a"])
@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY"])
def test_a_proxy_of_another_kind_is_one_line(variable, proxy, monkeypatch):
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(FetchError, match=f"E202.*: {variable} is no proxy of http"):
        fetch("http://192.0.32.8/file")
