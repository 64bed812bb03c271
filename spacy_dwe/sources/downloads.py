"""Downloading many pictures: several hosts at a time, a few files of each, and each
checked to be a picture."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from urllib.parse import urlsplit

from ..errors import CODE, DweError
from ..fetching import ALLOW_PRIVATE, fetch
from ..images import content_hash, file_suffix
from .patience import Manners, NoAnswer, Patience, Refused

_THREADS = 8
_PER_HOST = 2
_BYTES_PER_SECOND = 25e6 / 8
"""With two connections, what Wikimedia's robot policy allows anybody."""
_PATIENCE = 3
"""Pictures in a row of which a host says nothing, before it is left alone."""
_WEB_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body")


@dataclass(frozen=True, slots=True)
class Download:
    """What became of a URL: a picture, or a reason.

    data (bytes): the picture; empty if there is none.
    suffix (str): of its file's name, by what it is.
    reason (str): why there is none.
    may_pass (bool): another attempt may succeed.
    silent (bool): its host gave no answer.
    """

    url: str
    data: bytes = b""
    suffix: str = ""
    reason: str = ""
    may_pass: bool = False
    silent: bool = False

    @property
    def name(self) -> str:
        """RETURNS (str): of the picture's file: equal pictures have one."""
        digest = content_hash(self.data)
        return f"{digest[:2]}/{digest}{self.suffix}"


def site_of(url: str) -> str:
    """RETURNS (str): the servers that a URL is asked of, to be spared as one."""
    try:
        host = urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""
    return "wikimedia.org" if host.endswith(".wikimedia.org") else host


class Downloads:
    """Downloads pictures.

    manners (Manners): how.
    on_wait (Callable[[str, float], None]): is told why and how long a host is waited
        for; from any thread.
    """

    def __init__(self, manners: Manners, on_wait: Callable[[str, float], None]) -> None:
        self._manners, self._on_wait = manners, on_wait
        self._stop = threading.Event()
        self._jobs = SimpleQueue[str | None]()
        self._results = SimpleQueue[Download | BaseException]()
        self._patience: dict[str, Patience] = {}
        self._decoding = threading.Lock()

    def run(
        self, sites: Mapping[str, int], next_url: Callable[[str], str | None]
    ) -> Generator[Download, None, None]:
        """Download until nothing is left, or its site gives no answer.

        sites (Mapping[str, int]): how many URLs each site has.
        next_url (Callable): gives the next URL of a site; None after the last.
        YIELDS (Download): what became of each URL that was asked.
        """
        queue = _Queue(sites, next_url)
        n_threads = min(_THREADS, sum(min(_PER_HOST, n) for n in sites.values()))
        for _ in range(n_threads):
            # Those of an executor would be waited for at exit, silent servers and all.
            threading.Thread(target=self._work, daemon=True).start()
        running = 0
        try:
            while True:
                while running < n_threads and (url := queue.take()) is not None:
                    self._be_patient_with(site_of(url))
                    self._jobs.put(url)
                    running += 1
                if not running:
                    return
                result = self._results.get()
                running -= 1
                if isinstance(result, BaseException):
                    raise result
                queue.done(site_of(result.url), result.silent)
                yield result
        finally:
            self._stop.set()
            for _ in range(n_threads):
                self._jobs.put(None)

    def _be_patient_with(self, site: str) -> None:
        if site not in self._patience:
            manners, clock = self._manners, _Clock(self._stop)
            self._patience[site] = Patience(manners.rate, manners.retries, clock)
            self._patience[site].on_wait = self._on_wait

    def _work(self) -> None:
        while (url := self._jobs.get()) is not None and not self._stop.is_set():
            try:
                with suppress(_Stopped):
                    self._results.put(self._download(url))
            except BaseException as error:
                self._results.put(error)

    def _download(self, url: str) -> Download:
        manners, patience = self._manners, self._patience[site_of(url)]

        def attempt() -> bytes:
            return fetch(
                url,
                max_seconds=manners.timeout,
                allow_private=manners.allow_private,
                user_agent=manners.user_agent,
            )

        try:
            data = patience.ask(url, attempt)
        except Refused as error:
            return Download(url, reason=error.reason)
        except NoAnswer as error:
            return Download(url, reason=error.reason, may_pass=True, silent=True)
        except DweError:
            reason = f"on a private address, which needs {ALLOW_PRIVATE}=1"
            return Download(url, reason=reason, may_pass=True)
        patience.charge(len(data) / _BYTES_PER_SECOND)
        if problem := _no_picture(data):
            return Download(url, reason=problem)
        try:
            # One at a time: a picture may take a hundred times its file's size.
            with self._decoding:
                return Download(url, data, file_suffix(data, "it"))
        except DweError as error:
            return Download(url, reason=CODE.sub("", str(error)))


def _no_picture(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_WEB_PAGE):
        return "a web page, not a picture"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "an SVG drawing, which only Wikimedia's servers turn into a picture"
    return "" if data else "empty"


@dataclass(slots=True)
class _Site:
    running: int = 0
    silent: int = 0


class _Queue:
    """Whose turn it is: sites in turn, so that no slow one holds up the others."""

    def __init__(
        self, sites: Mapping[str, int], next_url: Callable[[str], str | None]
    ) -> None:
        self._turns = deque(sites)
        self._sites = {site: _Site() for site in sites}
        self._next_url = next_url

    def take(self) -> str | None:
        """RETURNS (str | None): the next URL that may be asked now."""
        for _ in range(len(self._turns)):
            site = self._turns.popleft()
            state = self._sites[site]
            if state.silent >= _PATIENCE:
                continue
            if state.running >= _PER_HOST:
                self._turns.append(site)
                continue
            url = self._next_url(site)
            if url is None:
                continue
            state.running += 1
            self._turns.append(site)
            return url
        return None

    def done(self, site: str, silent: bool) -> None:
        state = self._sites[site]
        state.running -= 1
        state.silent = state.silent + 1 if silent else 0


class _Stopped(Exception):
    """Nobody waits for this any more."""


@dataclass(frozen=True, slots=True)
class _Clock:
    """Wakes up when all is stopped."""

    stop: threading.Event = field(repr=False)

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float, /) -> None:
        if self.stop.wait(seconds):
            raise _Stopped
