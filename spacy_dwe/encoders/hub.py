"""Downloads of weights: told within seconds if nothing answers, checked when complete.

The Hugging Face hub's client tries for minutes to reach a hub that is not there, takes
bytes for those that were asked for if there are as many, and keeps them for good.
"""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors
from .inference import quiet_hub

PATIENCE = 5.0
"""Seconds that a server gets for its first answer."""
_BETWEEN = 10.0
"""Seconds that it gets for the next bytes: what is slow but alive is not cut."""
_REMEMBERED = 60.0
"""Seconds in which a hub that did not answer is not asked again: a pipeline has several
encoders."""
_ATTEMPTS = 5
_CHUNK = 2**20
_DOWN = {502, 503, 504}
_HASH_IN_NAME = re.compile(r"-([a-f0-9]{8,64})\.")
"""How torch's hub writes the first digits of a file's SHA-256."""

_silent: dict[str, tuple[float, str]] = {}
_offline = threading.RLock()


def is_on_hub(name: str) -> bool:
    """Whether a name may be the hub's: it is no folder's, nor a path to one."""
    path = Path(name)
    return not (path.is_absolute() or name.startswith((".", "~")) or path.is_dir())


@contextmanager
def hub_guard(name: str, asks_hub: bool = True) -> Iterator[None]:
    """Run what loads a model, perhaps from the Hugging Face hub. Where that does not
    answer, a model in the cache is loaded all the same.

    name (str): of the model.
    asks_hub (bool): False for one that lies in a folder.
    RAISES (DweError): the hub cannot be reached and the model is not in the cache, or
        a file came damaged; it is removed from the cache then.
    """
    if not asks_hub:
        yield
        return
    offline = constants.is_offline_mode()
    reason = "HF_HUB_OFFLINE is set" if offline else _why_silent(constants.ENDPOINT)
    before = _cached_blobs()
    try:
        with quiet_hub(), _without_network() if reason else nullcontext():
            yield
    except DweError:
        raise
    except Exception:
        # What fails is a network, a file or a state dict: any kind of exception.
        _check_new(name, before, failed=True)
        if reason:
            raise DweError(
                Errors.E247.format(name=name, url=constants.ENDPOINT, reason=reason)
            ) from None
        raise
    _check_new(name, before, failed=False)


def fetch_weights(name: str, url: str, target: Path) -> None:
    """Download a file of weights, if it is not there, where its library looks for it.
    A connection that breaks is taken up again where it ended.

    name (str): of the model.
    url (str): http or https; digits of the file's SHA-256 in its name are checked.
    target (Path): the file, which appears when it is complete.
    RAISES (DweError): nothing answers, the file is not there, or it came damaged.
    """
    if target.exists():
        return
    reason = _why_silent(url)
    if reason:
        raise DweError(Errors.E249.format(name=name, url=url, reason=reason))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        _download(url, part, target.name)
    except (httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DweError(Errors.E249.format(name=name, url=url, reason=reason)) from None
    found = _HASH_IN_NAME.search(target.name)
    if found and not _digest(part, hashlib.sha256()).startswith(found.group(1)):
        part.unlink()
        raise DweError(Errors.E248.format(name=name, file=target.name, url=url))
    part.replace(target)


def _download(url: str, part: Path, label: str) -> None:
    attempts = _ATTEMPTS
    while True:
        start = part.stat().st_size if part.exists() else 0
        try:
            _continue(url, part, start, label)
            return
        except httpx.TransportError:
            arrived = part.exists() and part.stat().st_size > start
            attempts = _ATTEMPTS if arrived else attempts - 1
            if not attempts:
                raise


def _continue(url: str, part: Path, start: int, label: str) -> None:
    headers = {"Range": f"bytes={start}-"} if start else {}
    with httpx.stream(
        "GET", url, headers=headers, timeout=_BETWEEN, follow_redirects=True
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # It was complete, or is another file now: whichever, it begins again.
            part.unlink()
            raise httpx.ReadError("the file changed meanwhile")
        response.raise_for_status()
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        size = int(response.headers.get("Content-Length", 0))
        with (
            part.open("ab" if goes_on else "wb") as file,
            tqdm(
                desc=label,
                total=size or None,
                unit="B",
                unit_scale=True,
                delay=BAR_DELAY,
                leave=False,
            ) as bar,
        ):
            for chunk in response.iter_raw():
                file.write(chunk)
                bar.update(len(chunk))


# Whether anything answers


def _why_silent(url: str) -> str:
    """RETURNS (str): why a server cannot be reached; empty if it answers, whatever it
    says."""
    origin = "/".join(url.split("/")[:3])
    when, reason = _silent.get(origin, (0.0, ""))
    if reason and time.monotonic() - when < _REMEMBERED:
        return reason
    hub = url == constants.ENDPOINT
    client: Any = get_session() if hub else httpx
    reason = _within(PATIENCE, lambda: _ask(client, url))
    _silent[origin] = time.monotonic(), reason
    return reason


def _ask(client: Any, url: str) -> str:
    try:
        answer = client.request(
            "HEAD", url, timeout=PATIENCE, follow_redirects=False
        ).status_code
    except Exception as error:
        # Two generations of httpx raise errors of their own.
        return " ".join(str(error).split())[:200] or type(error).__name__
    return f"it answers with HTTP status {answer}" if answer in _DOWN else ""


def _within(seconds: float, ask: Callable[[], str]) -> str:
    """Ask in a thread that is left alone if it takes longer: looking a name up cannot
    be stopped."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:.0f} seconds"


@contextmanager
def _without_network() -> Iterator[None]:
    """Let the hub's client look into its cache alone."""
    with _offline:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


# Whether it is what was asked for


def _cached_blobs() -> set[Path]:
    found = Path(constants.HF_HUB_CACHE).glob("models--*/blobs/*")
    return {path for path in found if path.suffix != ".incomplete"}


def _check_new(name: str, before: set[Path], failed: bool) -> None:
    """Compare new files with the checksums that the hub calls them by. One without is
    removed if its model did not load."""
    for blob in sorted(_cached_blobs() - before):
        sound = _is_sound(blob)
        if sound or (sound is None and not failed):
            continue
        files = _forget(blob)
        if sound is False:
            raise DweError(
                Errors.E248.format(name=name, file=files, url=constants.ENDPOINT)
            )


def _is_sound(blob: Path) -> bool | None:
    """RETURNS (bool | None): None if the file's name is no checksum."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return _digest(blob, hashlib.sha256()) == blob.name
    if re.fullmatch(r"[0-9a-f]{40}", blob.name):
        # Small files are called as git calls them.
        header = b"blob %d\0" % blob.stat().st_size
        return _digest(blob, hashlib.sha1(header, usedforsecurity=False)) == blob.name
    return None


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())


def _forget(blob: Path) -> str:
    """Remove a file from the hub's cache. RETURNS (str): what the model calls it."""
    pointers = [
        path
        for path in (blob.parent.parent / "snapshots").rglob("*")
        if path.is_symlink() and path.resolve() == blob.resolve()
    ]
    blob.resolve().unlink(missing_ok=True)
    for path in (*pointers, blob):
        path.unlink(missing_ok=True)
    return ", ".join(sorted({path.name for path in pointers})) or blob.name
