"""Downloading the pictures of entities."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from ...errors import DweError, Warnings
from ...files import replacing
from ...images import MAX_DOWNLOAD_BYTES, content_hash, decode
from .mediawiki import MediaWiki, NoAnswer, Refused
from .wikipedia_cache import PageCache
from .wikipedia_questions import BAR_DELAY, stopped


def download_pictures(
    wanted: Mapping[str, str],
    folder: Path,
    wiki: MediaWiki,
    cache: PageCache,
    show_progress: bool,
) -> dict[str, Path]:
    """Download pictures, each under the hash of its content. Those that cannot be had
    are told by warnings.

    wanted (Mapping[str, str]): an entity's id by its picture's URL.
    RETURNS (dict[str, Path]): the file of each picture that there is, by URL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    with tqdm(
        wanted.items(), unit=" pictures", delay=BAR_DELAY, disable=not show_progress
    ) as bar:
        wiki.on_wait = lambda reason, seconds: bar.set_postfix_str(
            f"waiting {seconds:.0f} s: {reason}"
        )
        for url, id_ in bar:
            known = cache.picture(url)
            if known is None or not _is_there(known, folder):
                try:
                    known = _download(url, wiki, folder)
                except NoAnswer as error:
                    done = f"{len(files):,} of {len(wanted):,} pictures"
                    raise stopped(error, done, cache) from None
                cache.put_picture(url, known)
                bar.set_postfix_str("")
            if "file" in known:
                files[url] = folder / known["file"]
            else:
                message = Warnings.W121.format(url=url, id=id_, reason=known["reason"])
                warnings.warn(message, stacklevel=2)
    return files


def _is_there(known: Mapping[str, Any], folder: Path) -> bool:
    return "file" not in known or (folder / known["file"]).is_file()


def _download(url: str, wiki: MediaWiki, folder: Path) -> dict[str, Any]:
    try:
        data = wiki.download(url, MAX_DOWNLOAD_BYTES)
        decode(data, url)
    except Refused as error:
        return {"reason": error.reason}
    except DweError as error:
        return {"reason": str(error)}
    name = content_hash(data) + Path(urlsplit(url).path).suffix.lower()
    with replacing(folder / name) as temporary:
        temporary.write_bytes(data)
    return {"file": name}
