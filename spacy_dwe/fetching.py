"""Fetching files by URL, under one policy: http and https only, so many bytes and
seconds at most, from public addresses only.

Documents come from strangers, and so do the URLs of their pictures. A host's addresses
are looked up and checked here, and a checked address is what is connected to: a name
that means another one a moment later gains nothing by it. Redirects are followed here,
each as a URL of its own. Behind a proxy, it is the proxy that looks names up.
"""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from .about import __title__, __version__
from .errors import LOGIN, DweError, Errors

MAX_BYTES = 64 * 2**20
MAX_SECONDS = 60.0
MAX_REDIRECTS = 5
ALLOW_PRIVATE = "DWE_ALLOW_PRIVATE_URLS"
"""The variable that, set to 1, allows private addresses."""
USER_AGENT = f"{__title__}/{__version__}"

_NAT64 = ip_network("64:ff9b::/96")
_ALSO_PRIVATE = [*map(ip_network, ("192.0.0.0/24", "192.88.99.0/24"))]
"""Networks that `ipaddress` calls global, by the version of Python."""
_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError)
_REDIRECTS = {301, 302, 303, 307, 308}


class FetchError(DweError):
    """A file could not be fetched.

    reason (str): why.
    may_pass (bool): another attempt may succeed.
    retry_after (str | None): what the server says of when, in seconds or as a date.
    status (int | None): of its answer, if there was one.
    """

    def __init__(
        self,
        url: str,
        reason: object,
        may_pass: bool = False,
        retry_after: str | None = None,
        status: int | None = None,
    ) -> None:
        url, self.reason = (LOGIN.sub("", str(text)) for text in (url, reason))
        super().__init__(Errors.E202.format(name=url, reason=self.reason))
        self.may_pass, self.retry_after = may_pass, retry_after
        self.status = status


def fetch(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    allow_private: bool | None = None,
    user_agent: str = USER_AGENT,
) -> bytes:
    """Fetch a file.

    max_seconds (float): for all of it, redirects included.
    allow_private (bool | None): also from this machine and its network; None asks the
        variable DWE_ALLOW_PRIVATE_URLS.
    RAISES (DweError): it is on a private address.
    RAISES (FetchError): it cannot be fetched.
    """
    with _failing_as(url, max_seconds) as left:
        target = httpx.URL(url)
        for _ in range(MAX_REDIRECTS + 1):
            pool = _pool(url, target, allow_private, left)
            got = _get(url, target, pool, max_bytes, user_agent)
            if isinstance(got, bytes):
                return got
            target = target.join(got)
    raise FetchError(url, f"more than {MAX_REDIRECTS} redirects")


class Transport(httpx.BaseTransport):
    """What a client of httpx asks through, to stay within this policy: each request,
    and each redirect, is one of its own.

    max_bytes, max_seconds, allow_private: of an answer, as of `fetch`.
    """

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BYTES,
        max_seconds: float = MAX_SECONDS,
        allow_private: bool | None = None,
    ) -> None:
        self.max_bytes, self.max_seconds = max_bytes, max_seconds
        self.allow_private = allow_private

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """RAISES (DweError, FetchError): as `fetch`."""
        url = str(request.url)
        with _failing_as(url, self.max_seconds) as left:
            pool = _pool(url, request.url, self.allow_private, left)
            content, headers = request.read(), request.headers.raw
            asked = pool.stream(
                request.method, _core(request.url), headers=headers, content=content
            )
            with pool, asked as response:
                data = _body(url, response, self.max_bytes)
                return httpx.Response(
                    response.status,
                    headers=response.headers,
                    stream=httpx.ByteStream(data),
                )


def is_private(url: str) -> bool:
    """RETURNS (bool): an address of a URL's host is not public."""
    return not all(map(_is_public, _addresses(httpx.URL(url).host)))


def status_error(url: str, status: int, retry_after: str | None) -> FetchError:
    """RETURNS (FetchError): what an answer's status says, if it is not 200."""
    reason = f"HTTP {status} {httpx.codes.get_reason_phrase(status)}".strip()
    may_pass = status in (408, 429) or status >= 500
    return FetchError(url, reason, may_pass, retry_after, status)


@contextmanager
def _failing_as(url: str, max_seconds: float) -> Iterator[Callable[[], float]]:
    """Whatever goes wrong is a FetchError.

    YIELDS (Callable[[], float]): how many seconds are left; an error when none are.
    """
    end = time.monotonic() + max_seconds

    def left() -> float:
        if (seconds := end - time.monotonic()) <= 0:
            raise TimeoutError
        return seconds

    try:
        yield left
    except (TimeoutError, httpcore.TimeoutException):
        reason = f"no answer in time, {max_seconds:g} s"
        raise FetchError(url, reason, may_pass=True) from None
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError(url, error) from None
    except (*_BROKEN, OSError) as error:
        reason = f"no connection ({str(error) or type(error).__name__})"
        raise FetchError(url, reason, may_pass=True) from None


def _pool(
    url: str, target: httpx.URL, allow_private: bool | None, left: Callable[[], float]
) -> httpcore.ConnectionPool:
    """RETURNS (ConnectionPool): connects to nothing but what is allowed."""
    if allow_private is None:
        allow_private = os.environ.get(ALLOW_PRIVATE) == "1"
    if target.scheme not in ("http", "https") or not target.host:
        raise FetchError(url, f"{target} is no address of http or https")
    host = target.raw_host.decode("ascii")
    proxy = _proxy(target.scheme, host)
    addresses = _addresses(host)
    if not (addresses or proxy):
        raise FetchError(url, "no connection (its host is unknown)", may_pass=True)
    private = [] if allow_private else [a for a in addresses if not _is_public(a)]
    if private:
        url, where = LOGIN.sub("", url), f"{target.host} ({private[0]})"
        where = private[0] if target.host == private[0] else where
        raise DweError(Errors.E216.format(url=url, where=where, variable=ALLOW_PRIVATE))
    network = _Network([] if proxy else addresses, left)
    return httpcore.ConnectionPool(_tls(), proxy=proxy, network_backend=network)


def _get(
    url: str,
    target: httpx.URL,
    pool: httpcore.ConnectionPool,
    max_bytes: int,
    user_agent: str,
) -> bytes | str:
    """RETURNS (bytes | str): the file, or where it has moved to."""
    headers: dict[bytes | str, bytes | str] = {
        "Host": target.netloc.decode("ascii"),
        "User-Agent": user_agent,
        "Accept-Encoding": "identity",
    }
    with pool, pool.stream("GET", _core(target), headers=headers) as response:
        status = response.status
        said = {key.lower(): value for key, value in response.headers}
        if status in _REDIRECTS and b"location" in said:
            return said[b"location"].decode("utf-8", "replace")
        if status != httpx.codes.OK:
            wait = said.get(b"retry-after", b"").decode("latin-1")
            raise status_error(url, status, wait or None)
        return _body(url, response, max_bytes)


def _core(target: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=target.raw_scheme,
        host=target.raw_host,
        port=target.port,
        target=target.raw_path,
    )


def _body(url: str, response: httpcore.Response, max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_stream():
        data += chunk
        if len(data) > max_bytes:
            raise FetchError(url, f"larger than {max_bytes / 2**20:.3g} MiB")
    return bytes(data)


def _addresses(host: str) -> list[str]:
    """RETURNS (list[str]): none of a host that is not known here."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return []
    # What has IPv6 addresses does not always reach them.
    return sorted(found, key=lambda address: (":" in address, address))


def _is_public(address: str) -> bool:
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        # Those that stand for an IPv4 address are as private as that is.
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and ip.is_site_local:
            return False
        ip = inner or ip
    listed = any(ip in network for network in _ALSO_PRIVATE)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or listed)


def _proxy(scheme: str, host: str) -> httpcore.Proxy | None:
    """RETURNS (Proxy | None): that of the environment for a host."""
    proxies = getproxies()
    kind = scheme if proxies.get(scheme) else "all"
    found = proxies.get(kind)
    if not found or proxy_bypass(host):
        return None
    url = httpx.URL(found if "://" in found else f"http://{found}")
    if url.scheme not in ("http", "https"):
        raise httpx.InvalidURL(f"{kind.upper()}_PROXY is no proxy of http or https")
    auth = (url.username, url.password) if url.username else None
    return httpcore.Proxy(str(url.copy_with(username=None, password=None)), auth)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class _Network(httpcore.SyncBackend):
    """Connects to given addresses only, whatever the name; nothing that it waits for
    outlasts the time that is left.

    addresses (Sequence[str]): tried in turn; none = what the name says, a proxy.
    """

    def __init__(self, addresses: Sequence[str], left: Callable[[], float]) -> None:
        self._addresses, self._left = addresses, left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        addresses = self._addresses or [host]
        for n_tried, address in enumerate(addresses):
            seconds = self._left() / (len(addresses) - n_tried)
            try:
                stream = super().connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._left)
        raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(
        self, stream: httpcore.NetworkStream, left: Callable[[], float]
    ) -> None:
        self._stream, self._left = stream, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left())
        return _Stream(stream, self._left)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
