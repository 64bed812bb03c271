"""A MediaWiki API, asked politely: one request at a time, at a rate, with patience.

The requests are those of the package wikipedia-api. It asks for one page at a time and
knows of no wait but that of a 429, so continuation and patience are here.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from types import ModuleType
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
from wikipediaapi import (  # type: ignore[import-untyped]
    SyncHTTPClient,
    WikiConnectionError,
    WikiHttpError,
    WikiHttpTimeoutError,
    WikiInvalidJsonError,
)

from ..about import __title__, __version__
from ..errors import DweError, Errors
from ..fetching import MAX_BYTES, FetchError, fetch, is_private, status_error

Answer = TypeVar("Answer")

WIKIPEDIA_API = "https://{lang}.wikipedia.org/w/api.php"
MAX_LAG = 5
"""Seconds by which Wikimedia's databases may lag before unattended programs wait."""

_LONGEST_DOWNLOAD = 300.0
_LONGEST_BACK_OFF = 120.0
_LONGEST_WAIT = 900.0
"""Seconds; a server that asks for more is better asked another time."""
_FIRST_RETRIES = 2
"""For a host that never answered: it is more likely misspelt than busy."""
_PASSING = {"maxlag", "ratelimited", "readonly"}


class NoAnswer(Exception):
    """A request failed, again and again.

    url (str): what was asked.
    reason (str): how it failed the last time.
    attempts (int): how often it was tried.
    """

    def __init__(self, url: str, reason: str, attempts: int) -> None:
        super().__init__(url, reason, attempts)
        self.url, self.reason, self.attempts = url, reason, attempts


class Refused(NoAnswer):
    """The server answered, and would answer the same again."""


class Clock(Protocol):
    """What is used of the module `time`."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


class MediaWiki(SyncHTTPClient):
    """Asks the Wikipedias, or another MediaWiki.

    contact (str): e-mail address or URL of whoever runs this, for the user agent;
        Wikimedia's policy demands it.
    api_url (str): the API's address; `{lang}` in it stands for the language.
    rate (float): requests a second, at most.
    retries (int): how often a request that failed is tried again.
    timeout (float): seconds to wait for an answer.
    clock (Clock | ModuleType): tells the time and sleeps.
    jitter (Callable[[], float]): a number between 0 and 1, by which waits differ.
    """

    def __init__(
        self,
        contact: str,
        *,
        api_url: str = WIKIPEDIA_API,
        rate: float = 1.0,
        retries: int = 8,
        timeout: float = 30.0,
        clock: Clock | ModuleType = time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        _check_contact(contact)
        _check_api_url(api_url)
        super().__init__(
            f"{__title__}/{__version__} ({contact})",
            max_retries=0,
            timeout=timeout,
            follow_redirects=True,
            # The default transport of wikipedia-api knows no proxy; httpx's does.
            transport=None,
        )
        self.api_url = api_url
        self.on_wait: Callable[[str, float], None] = lambda reason, seconds: None
        self.n_requests = 0
        self._interval = 1.0 / rate
        self._next = 0.0
        self._retries = retries
        self._max_seconds = max(timeout, _LONGEST_DOWNLOAD)
        self._clock, self._jitter = clock, jitter
        self._answered: set[str] = set()

    def query(
        self, language: str, parameters: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """Ask `action=query`, and go on until the answer is whole.

        language (str): the Wikipedia's code.
        parameters (Mapping[str, str]): of the query.
        YIELDS (dict[str, Any]): the parts of the answer, in formatversion 2.
        RAISES (NoAnswer): the retries are used up.
        """
        url = self._build_url(language)
        asked = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": str(MAX_LAG),
            **parameters,
        }
        further: dict[str, Any] = {}
        while True:
            attempt = partial(self._get, language, {**asked, **further})
            part: dict[str, Any] = self._patiently(url, attempt)
            yield part
            if "continue" not in part:
                return
            if part["continue"] == further:
                raise Refused(url, "the answer never ends", 1)
            further = part["continue"]

    def download(self, url: str, max_bytes: int = MAX_BYTES) -> bytes:
        """RETURNS (bytes): a file, such as a picture.
        RAISES (NoAnswer): the retries are used up.
        RAISES (DweError): it is on a private address, and the API is not.
        """
        attempt = partial(
            fetch,
            url,
            max_bytes=max_bytes,
            max_seconds=self._max_seconds,
            allow_private=is_private(self._build_url("en")) or None,
            user_agent=self._client.headers["User-Agent"],
        )
        return self._patiently(url, attempt)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> "MediaWiki":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _patiently(self, url: str, attempt: Callable[[], Answer]) -> Answer:
        host = urlsplit(url).netloc
        n = 0
        while True:
            self._pace()
            n += 1
            try:
                answer = attempt()
            except FetchError as error:
                failure = error
            except WikiHttpTimeoutError:
                failure = FetchError(url, "no answer in time", may_pass=True)
            except WikiConnectionError as error:
                reason = f"no connection ({_cause(error)})"
                failure = FetchError(url, reason, may_pass=True)
            else:
                self._answered.add(host)
                return answer
            if not failure.may_pass:
                raise Refused(url, failure.reason, n)
            wait = self._seconds(failure.retry_after)
            known = host in self._answered or wait is not None
            retries = self._retries if known else min(self._retries, _FIRST_RETRIES)
            asked_to_wait = wait or 0.0
            if asked_to_wait > _LONGEST_WAIT:
                reason = f"{failure.reason}, asks to wait {asked_to_wait:.0f} s"
                raise NoAnswer(url, reason, n)
            if n > retries:
                raise NoAnswer(url, failure.reason, n)
            back_off = min(2.0 ** (n - 1), _LONGEST_BACK_OFF)
            seconds = max(asked_to_wait, back_off * (0.5 + self._jitter() / 2))
            self.on_wait(failure.reason, seconds)
            self._clock.sleep(seconds)

    def _pace(self) -> None:
        now = self._clock.monotonic()
        if now < self._next:
            self._clock.sleep(self._next - now)
        self._next = max(now, self._next) + self._interval
        self.n_requests += 1

    # The hooks of wikipedia-api's client: where it asks, and what counts as an answer.

    def _build_url(self, language: str) -> str:
        return self.api_url.replace("{lang}", language)

    def _process_response(self, r: httpx.Response, url: str) -> dict[str, Any]:
        wait = r.headers.get("Retry-After")
        try:
            answer = super()._process_response(r, url)
        except WikiHttpError:
            raise status_error(url, r.status_code, wait) from None
        except WikiInvalidJsonError:
            raise FetchError(url, "the answer is not JSON", True, wait) from None
        if not isinstance(answer, dict):
            raise FetchError(url, "the answer is no JSON object", True, wait)
        error = answer.get("error")
        if error is not None:
            code, info = str(error.get("code")), str(error.get("info"))
            may_pass = code in _PASSING or code.startswith("internal_api_error")
            raise FetchError(url, f"{code}: {info}", may_pass, wait)
        if not isinstance(answer.get("query"), dict):
            raise FetchError(url, "the answer is not MediaWiki's", True, wait)
        if not isinstance(answer["query"].get("pages", []), list):
            raise FetchError(url, "a MediaWiki before 1.25")
        return answer

    def _seconds(self, retry_after: str | None) -> float | None:
        """The header Retry-After holds seconds or a date."""
        if not retry_after:
            return None
        try:
            return max(0.0, float(retry_after))
        except ValueError:
            pass
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        return max(0.0, date.timestamp() - self._clock.time())


def _cause(error: BaseException) -> str:
    cause = error.__cause__
    return str(cause) or type(cause).__name__


def _check_contact(contact: str) -> None:
    address = "@" in contact or contact.startswith(("http://", "https://"))
    if not (address and contact.isascii() and contact.isprintable()):
        raise DweError(Errors.E120.format(contact=contact))


def _check_api_url(api_url: str) -> None:
    reason = "it must start with https:// or http:// and name a host"
    try:
        url = httpx.URL(api_url.replace("{lang}", "en"))
        if url.scheme in ("http", "https") and url.host:
            return
    except httpx.InvalidURL as error:
        reason = str(error)
    raise DweError(Errors.E121.format(option="--api-url", value=api_url, reason=reason))
