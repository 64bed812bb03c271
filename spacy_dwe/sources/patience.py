"""Asking servers politely: at a rate, and again where a failure may pass."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from ..about import __title__, __version__
from ..errors import DweError, Errors
from ..fetching import FetchError

Answer = TypeVar("Answer")

_LONGEST_BACK_OFF = 120.0
_LONGEST_WAIT = 900.0
"""Seconds; a server that asks for more is better asked another time."""
_TOO_MANY = (429, 503)
_FIRST_RETRIES = 2
"""For a host that never answered: it is more likely misspelt than busy."""


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


@dataclass(frozen=True, slots=True)
class Manners:
    """How servers are asked.

    contact (str | None): e-mail address or URL of whoever runs this.
    rate (float): requests a second and host, at most.
    retries (int): how often a request that failed is tried again.
    timeout (float): seconds for an answer.
    allow_private (bool | None): also in this machine's network, see `fetch`.
    """

    contact: str | None = None
    rate: float = 5.0
    retries: int = 5
    timeout: float = 60.0
    allow_private: bool | None = None

    def __post_init__(self) -> None:
        if self.contact is not None:
            check_contact(self.contact)

    @property
    def user_agent(self) -> str:
        contact = f" ({self.contact})" if self.contact else ""
        return f"{__title__}/{__version__}{contact}"


class Clock(Protocol):
    """What is used of the module `time`."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


class Patience:
    """Paces requests, whatever thread they come from, and repeats those that fail.

    rate (float): requests a second, at most.
    retries (int): how often a request that failed is tried again.
    clock (Clock | ModuleType): tells the time and sleeps.
    jitter (Callable[[], float]): a number between 0 and 1, by which waits differ.
    """

    def __init__(
        self,
        rate: float,
        retries: int,
        clock: Clock | ModuleType = time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.on_wait: Callable[[str, float], None] = lambda reason, seconds: None
        self.n_requests = 0
        self._interval = 1.0 / rate
        self._next = 0.0
        self._retries = retries
        self._clock, self._jitter = clock, jitter
        self._answered: set[str] = set()
        self._lock = threading.Lock()

    def ask(self, url: str, attempt: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer.

        url (str): what is asked, for messages.
        attempt (Callable): asks once; raises FetchError if that failed.
        RAISES (Refused): it would fail again.
        RAISES (NoAnswer): the retries are used up.
        """
        host = urlsplit(url).netloc
        n = 0
        while True:
            self._pace()
            n += 1
            try:
                answer = attempt()
            except FetchError as error:
                failure = error
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
            if wait is not None or failure.status in _TOO_MANY:
                self._hold(seconds)
            self._clock.sleep(seconds)

    def charge(self, seconds: float) -> None:
        """Let the next request wait for as long as the last answer should have taken,
        in which the pace is included."""
        with self._lock:
            self._next += max(0.0, seconds - self._interval)

    def _pace(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
            self.n_requests += 1
        if turn > now:
            self._clock.sleep(turn - now)

    def _hold(self, seconds: float) -> None:
        """What a server asks of one request it asks of all."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)

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


def check_contact(contact: str) -> None:
    address = "@" in contact or contact.startswith(("http://", "https://"))
    if not (address and contact.isascii() and contact.isprintable()):
        raise DweError(Errors.E120.format(contact=contact))
