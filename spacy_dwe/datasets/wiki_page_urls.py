"""The page that an address of Wikipedia names, as annotators typed or pasted it."""

import re
from urllib.parse import quote, unquote

# Characters slipped in before https://, or were lost, so only the rest is looked at.
_PAGE = re.compile(
    r"(?:([a-z][a-z-]*)(?:\.m)?\.wikipedia\.org)?/wiki/(.+)", re.IGNORECASE
)
_INDEX = re.compile(
    r"([a-z][a-z-]*)(?:\.m)?\.wikipedia\.org/w/index\.php\?.*?title=([^&]+)"
)
_QUERY = re.compile(r"\?[a-z]\w*=.*$")
_ENGLISH = ("", "en", "www")


def page_title(url: str) -> str | None:
    """The title of a page: percent-decoded, with spaces, its first letter a capital as
    on Wikipedia. That of another Wikipedia than the English one has its language before
    it, as in "de:Titel".

    url (str): an address, or a title.
    RETURNS (str | None): None if it is no page's.
    """
    url = url.strip().strip("[]\"'<>").strip()
    found = _PAGE.search(url) or _INDEX.search(url)
    if found is None:
        return _title(url) if url and "/" not in url and ":" not in url else None
    language = (found[1] or "").lower()
    title = _title(_QUERY.sub("", found[2].split("#")[0]))
    if title is None or language in _ENGLISH:
        return title
    return f"{language}:{title}"


def page_url(title: str) -> str:
    """RETURNS (str): the address of a page named as by `page_title`."""
    language, separator, rest = title.partition(":")
    is_other = bool(separator) and language.islower() and not rest.startswith(" ")
    site, page = (language, rest) if is_other else ("en", title)
    return (
        f"https://{site}.wikipedia.org/wiki/{quote(page.replace(' ', '_'), safe=_SAFE)}"
    )


_SAFE = "/:(),.'!*;@&=+$-_~"


def _title(text: str) -> str | None:
    title = " ".join(unquote(text).replace("_", " ").split())
    return title[0].upper() + title[1:] if title else None
