"""A MediaWiki API, asked politely: one request at a time, at a rate, with patience.

The requests are those of the package wikipedia-api. It asks for one page at a time and
knows of no wait but that of a 429, so continuation and patience are here.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import httpx
from wikipediaapi import (  # type: ignore[import-untyped]
    SyncHTTPClient,
    WikiConnectionError,
    WikiHttpError,
    WikiInvalidJsonError,
)

from ..errors import DweError, Errors
from ..fetching import (
    MAX_BYTES,
    MAX_REDIRECTS,
    FetchError,
    Transport,
    is_private,
    status_error,
)
from .patience import Clock, Manners, Patience, Refused

WIKIPEDIA_API = "https://{lang}.wikipedia.org/w/api.php"
MAX_LAG = 5
"""Seconds by which Wikimedia's databases may lag before unattended programs wait."""

_PASSING = {"maxlag", "ratelimited", "readonly"}


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
        self.manners = Manners(contact, rate, retries, timeout)
        transport = Transport(max_bytes=MAX_BYTES, max_seconds=timeout)
        _check_api_url(api_url)
        super().__init__(
            self.manners.user_agent,
            max_retries=0,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            transport=transport,
        )
        self.api_url = api_url
        self._transport = transport
        self.patience = Patience(rate, retries, clock, jitter)

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
            attempt = partial(self._ask_once, language, {**asked, **further})
            part: dict[str, Any] = self.patience.ask(url, attempt)
            yield part
            if "continue" not in part:
                return
            if part["continue"] == further:
                raise Refused(url, "the answer never ends", 1)
            further = part["continue"]

    def is_private(self, language: str = "en") -> bool:
        """RETURNS (bool): the API is in this machine's network."""
        return is_private(self._build_url(language))

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> "MediaWiki":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_once(self, language: str, parameters: dict[str, Any]) -> dict[str, Any]:
        url = self._build_url(language)
        self._transport.allow_private = self.is_private(language) or None
        try:
            answer: dict[str, Any] = self._get(language, parameters)
        except WikiConnectionError as error:
            # What the transport does not tell itself: redirects without an end.
            raise FetchError(url, str(error.__cause__)) from None
        return answer

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


def _check_api_url(api_url: str) -> None:
    reason = "it must start with https:// or http:// and name a host"
    try:
        url = httpx.URL(api_url.replace("{lang}", "en"))
        if url.scheme in ("http", "https") and url.host:
            return
    except httpx.InvalidURL as error:
        reason = str(error)
    raise DweError(Errors.E121.format(option="--api-url", value=api_url, reason=reason))
