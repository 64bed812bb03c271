"""How a MediaWiki is asked: at a rate, with patience, and by name."""

import socket
from email.utils import formatdate

import pytest
from mediawiki_server import (
    Page,
    WikiServer,
    api_error,
    cut_off,
    garbage,
    hung_up,
    moved,
    slow,
    status,
)

from spacy_dwe.about import __version__
from spacy_dwe.errors import DweError
from spacy_dwe.sources.mediawiki import MediaWiki
from spacy_dwe.sources.patience import NoAnswer, Refused

QUESTION = {"prop": "info", "titles": "Tbilisi", "redirects": "1"}
NOW = 1_800_000_000


class FakeClock:
    """Time passes only by sleeping."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def monotonic(self):
        return self.now

    def time(self):
        return NOW + self.now - 100.0

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("DWE_ALLOW_PRIVATE_URLS", "1")
    with WikiServer({"en": [Page("Tbilisi")]}) as server:
        yield server


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def wiki(server, clock):
    """Makes a client of the server."""
    made = []

    def make(api_url=None, *, rate=float("inf"), timeout=10.0, **settings):
        made.append(
            MediaWiki(
                "me@example.org",
                api_url=api_url or server.api,
                rate=rate,
                timeout=timeout,
                clock=clock,
                **{"jitter": lambda: 1.0, **settings},
            )
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def title(wiki):
    (part,) = wiki.query("en", QUESTION)
    return part["query"]["pages"][0]["title"]


def test_the_wiki_learns_who_asks_and_that_it_may_be_busy(server, wiki):
    assert title(wiki()) == "Tbilisi"
    agent = server.headers[0]["User-Agent"]
    assert agent.startswith(f"spacy-dwe/{__version__} (me@example.org) Wikipedia-API/")
    assert "gzip" in server.headers[0]["Accept-Encoding"]
    assert server.asked[0]["maxlag"] == "5"


def test_requests_are_spaced(server, wiki, clock):
    client = wiki(rate=2.0)
    for _ in range(4):
        title(client)
    assert clock.slept == pytest.approx([0.5, 0.5, 0.5])
    clock.now += 10
    title(client)
    assert len(clock.slept) == 3, "who comes late need not wait"


@pytest.mark.parametrize(
    ("mishap", "seconds"),
    [
        (status(429, retry_after=7), 7),
        (status(503, retry_after=30), 30),
        (status(503, retry_after=formatdate(NOW + 40, usegmt=True)), 40),
        (status(429, retry_after="soon"), 1),
        (status(429), 1),
        (status(500), 1),
        (status(502), 1),
        (api_error("maxlag", retry_after=5), 5),
        (api_error("ratelimited"), 1),
        (api_error("internal_api_error_DBQueryError"), 1),
        (garbage('{"query": {'), 1),
        (garbage("<html>Our servers are …</html>"), 1),
        (garbage("[]"), 1),
        (garbage('{"status": "starting"}'), 1),
        (cut_off, 1),
        (hung_up, 1),
    ],
)
def test_what_passes_is_waited_for(server, wiki, clock, mishap, seconds):
    server.mishaps.append(mishap)
    assert title(wiki()) == "Tbilisi"
    assert clock.slept == pytest.approx([seconds])
    assert len(server.asked) == 2


def test_an_answer_that_takes_too_long_is_asked_again(server, wiki, clock):
    server.mishaps.append(slow(0.5))
    assert title(wiki(timeout=0.1)) == "Tbilisi"
    assert clock.slept == [1.0]


def test_lag_of_the_databases_is_waited_for(server, wiki, clock):
    server.lag = 7.5
    client = wiki()
    told = []

    def recover(reason, seconds):
        told.append((reason, seconds))
        server.lag = 5.0 if len(told) == 2 else 7.5

    client.patience.on_wait = recover
    assert title(client) == "Tbilisi"
    assert told == [("maxlag: Waiting for db1: 7.5 seconds lagged.", 5.0)] * 2


def test_waits_grow_up_to_two_minutes_and_differ(server, wiki, clock):
    client = wiki(retries=9)
    title(client)
    server.mishaps += [status(500)] * 9
    title(client)
    assert clock.slept == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    clock.slept.clear()
    server.mishaps += [status(500)] * 2
    drawn = iter([0.0, 0.5])
    client = wiki(jitter=lambda: next(drawn))
    title(client)
    assert clock.slept == [0.5, 1.5]


def test_retries_come_to_an_end(server, wiki, clock):
    client = wiki(retries=4)
    title(client)
    server.asked.clear()
    server.mishaps += [status(503)] * 99
    with pytest.raises(NoAnswer) as failed:
        title(client)
    assert len(server.asked) == failed.value.attempts == 5
    assert failed.value.reason == "HTTP 503 Service Unavailable"
    assert failed.value.url == server.api.replace("{lang}", "en")


def test_a_server_that_never_answered_is_soon_given_up(server, wiki):
    server.mishaps += [garbage("<html>")] * 99
    with pytest.raises(NoAnswer, match="not JSON"):
        title(wiki())
    assert len(server.asked) == 3


def test_nobody_waits_for_hours(server, wiki, clock):
    server.mishaps.append(status(429, retry_after=3600))
    with pytest.raises(NoAnswer, match=r"HTTP 429 .*3600 s"):
        title(wiki())
    assert clock.slept == [] and len(server.asked) == 1


@pytest.mark.parametrize(
    ("mishap", "reason"),
    [
        (status(403), "HTTP 403 Forbidden"),
        (status(404), "HTTP 404 Not Found"),
        (status(414), "HTTP 414"),
        (garbage('{"query": {"pages": {"1": {}}}}'), "MediaWiki before 1.25"),
        (api_error("badvalue"), "badvalue: The info of badvalue."),
        (api_error("mwoauth-invalid-authorization"), "mwoauth-invalid"),
    ],
)
def test_a_refusal_is_final(server, wiki, clock, mishap, reason):
    server.mishaps.append(mishap)
    with pytest.raises(Refused, match=reason):
        title(wiki())
    assert clock.slept == [] and len(server.asked) == 1


def test_an_answer_without_an_end_is_noticed(server, wiki):
    endless = garbage('{"continue": {"rdcontinue": "1"}, "query": {"pages": []}}')
    server.mishaps += [endless] * 99
    with pytest.raises(Refused, match="never ends"):
        list(wiki().query("en", QUESTION))
    assert len(server.asked) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_nobody_there(wiki, clock, host):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://{host}:{unused.getsockname()[1]}/w/api.php"
        with pytest.raises(NoAnswer, match="no connection") as failed:
            title(wiki(url))
    assert failed.value.attempts == 3 and failed.value.url == url


def test_the_api_is_asked_under_the_policy_of_all_fetching(
    server, wiki, clock, monkeypatch
):
    """A public wiki, for which this machine stands, may lead to no private address; a
    wiki in one's own network is asked there."""
    monkeypatch.delenv("DWE_ALLOW_PRIVATE_URLS")
    api = server.api.replace("{lang}", "en")
    assert title(wiki()) == "Tbilisi"
    server.mishaps.append(moved(api.replace("127.0.0.1", "127.0.0.2")))
    monkeypatch.setattr("spacy_dwe.fetching._is_public", lambda a: a != "127.0.0.2")
    with pytest.raises(DweError, match=r"E216.*127\.0\.0\.2"):
        title(wiki())
    server.mishaps += [moved(api)] * 6
    with pytest.raises(Refused, match="redirects"):
        title(wiki())
    server.mishaps.append(garbage(" " * 100))
    monkeypatch.setattr("spacy_dwe.sources.mediawiki.MAX_BYTES", 99)
    with pytest.raises(Refused, match="larger than"):
        title(wiki())


@pytest.mark.parametrize("contact", ["", "me", "me@exämple.org", "a@b\r\nX-Evil: 1"])
def test_an_anonymous_client_is_none(contact):
    with pytest.raises(DweError, match="--contact"):
        MediaWiki(contact)
