"""MediaWiki's markup: the links of an article, and its introduction as plain text."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

from ..errors import DweError, Errors
from ..kb.entity import SENTENCE_END

_LONGEST_ANCHOR = 100
"""Characters. What is longer is no name."""
_MARKUP_KEPT = 4
"""Markup that is parsed for an introduction, in multiples of the length wanted. Links
and templates double the length of a text, infoboxes and references apart."""

# Known on every wiki beside its own words for them.
_FILE_PREFIXES = frozenset({"file", "image", "media"})
_PREFIXES = _FILE_PREFIXES | {
    *("category", "template", "help", "portal", "user", "talk", "special", "module"),
    *("wikipedia", "project", "draft", "mediawiki", "book", "timedtext"),
}
_FILE_NAME = re.compile(
    r":[^|]*\.(?:jpe?g|png|svg|gif|webp|tiff?|og[agv]|webm|mp[34]|pdf|djvu|wav)\s*$",
    re.IGNORECASE,
)
# tr, az and their kin have a dotted capital I; MediaWiki follows that.
_DOTTED_I = frozenset({"tr", "az", "kk", "kaa", "crh", "gag", "tt"})


@dataclass(frozen=True, slots=True)
class Site:
    """What a wiki says of itself, as far as its markup depends on it.

    wiki (str): its name in Wikidata's sitelinks, such as enwiki.
    first_letter (bool): titles begin with a capital letter, however they are written.
    prefixes (frozenset[str]): names of namespaces other than the articles', lower case.
    file_prefixes (frozenset[str]): those of files.
    """

    wiki: str
    first_letter: bool = True
    prefixes: frozenset[str] = _PREFIXES
    file_prefixes: frozenset[str] = _FILE_PREFIXES

    @classmethod
    def from_namespaces(
        cls, wiki: str, first_letter: bool, namespaces: dict[int, str]
    ) -> "Site":
        """namespaces (dict[int, str]): key and name of each, as a dump lists them."""
        lower = {key: _prefix(name) for key, name in namespaces.items() if key != 0}
        files = {name for key, name in lower.items() if key in (-2, 6)}
        return cls(
            wiki,
            first_letter,
            _PREFIXES | frozenset(lower.values()),
            _FILE_PREFIXES | files,
        )

    def is_article(self, target: str) -> bool:
        """RETURNS (bool): a link's target is no file, category or the like."""
        prefix, colon, _ = target.lstrip(" :_").partition(":")
        return not colon or _prefix(prefix) not in self.prefixes

    def is_file(self, target: str) -> bool:
        prefix, colon, _ = target.partition(":")
        if not colon:
            return False
        return (
            _prefix(prefix) in self.file_prefixes
            or _FILE_NAME.search(target) is not None
        )

    def title(self, target: str) -> str:
        """RETURNS (str): the title of the page that a link's target names; empty for a
        place on the same page."""
        if "%" in target:
            target = unquote(target)
        if "&" in target:
            target = html.unescape(target)
        name = target.partition("#")[0].replace("_", " ")
        if not name.isascii():
            name = name.translate(_INVISIBLE)
        name = " ".join(name.split()).lstrip(": ")
        if not name or not self.first_letter:
            return name
        first = name[0]
        if first == "i" and self.wiki.removesuffix("wiki") in _DOTTED_I:
            return "İ" + name[1:]
        # The title case of a Georgian letter is the letter, its upper case is not.
        capital = first.title()
        return capital + name[1:] if len(capital) == 1 else name


_INVISIBLE = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\ufeff"))


def _prefix(name: str) -> str:
    return name.replace("_", " ").strip().lower()


_UNREAD = re.compile(
    r"<!--.*?(?:-->|\Z)|<(nowiki|math|pre|syntaxhighlight|source|score|timeline)\b"
    r"[^>]*(?:/>|(?<!/)>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_LINK = re.compile(
    r"\[\[([^\[\]|{}<>\n]*)(?:\|([^\[\]]*))?\]\]([^\W\d_]{0,20})", re.DOTALL
)
_TAG = re.compile(r"<[^<>]*>")
_QUOTES = re.compile(r"'{2,}")
DISAMBIGUATOR = re.compile(r"\s*\([^()]*\)\s*$")


def links(text: str, site: Site) -> Iterator[tuple[str, str]]:
    """Find the links to articles, wherever they stand: in sentences, captions, tables,
    parameters of templates.

    YIELDS (tuple[str, str]): title of the page, and the anchor text as a reader sees
        it. Titles that lead to other wikis are those of no page.
    """
    if "<" in text:
        text = _UNREAD.sub("", text)
    for target, shown, trail in _LINK.findall(text):
        if ":" in target and not site.is_article(target):
            continue
        if not shown and "#" in target:
            continue
        title = site.title(target)
        if not shown:
            shown = DISAMBIGUATOR.sub("", target) if "(" in target else target
        anchor = _anchor(shown, trail)
        if title and anchor:
            yield title, anchor


def _anchor(shown: str, trail: str) -> str:
    """RETURNS (str): anchor text; empty for what is no name."""
    if "{{" in shown:
        return ""
    if "<" in shown:
        shown = _TAG.sub("", shown)
    if "&" in shown:
        shown = html.unescape(shown)
    if "''" in shown:
        shown = _QUOTES.sub("", shown)
    if trail:
        # [[Georgian]]s reads "Georgians". Scripts without case have no such endings.
        shown += "".join(takewhile(str.islower, trail))
    if not shown.isascii():
        shown = shown.translate(_INVISIBLE)
    shown = " ".join(shown.replace("_", " ").split())
    return shown.strip(": ") if len(shown) <= _LONGEST_ANCHOR else ""


def redirects_to_section(text: str) -> bool:
    """RETURNS (bool): a redirect's text leads to a part of an article, so the
    redirect's title is no name of the article's subject."""
    link = _LINK.search(text)
    return link is not None and "#" in link[1].strip(" :")


def require_parser() -> None:
    """RAISES (DweError): mwparserfromhell is not installed."""
    try:
        import mwparserfromhell  # noqa: F401
    except ImportError:
        raise DweError(Errors.E134) from None


_HEADING = re.compile(r"^=+[^=\n].*=[ \t]*$", re.MULTILINE)
_REF = re.compile(
    r"<(ref|gallery|imagemap|references)\b[^>]*(?:/>|(?<!/)>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_NOTE_LINE = re.compile(r"^[:;*#].*$", re.MULTILINE)
_SWITCH = re.compile(r"__[A-Z]+__")
_VARIANT = re.compile(r"-\{(?:[A-Za-z-]+[|:])?([^{};|]*)[^{}]*\}-")


def plain_intro(text: str, site: Site, length: int) -> str:
    """Turn what stands before an article's first heading into plain text.

    text (str): the article's markup.
    length (int): characters wanted.
    RETURNS (str): the text on one line, cut at the end of a sentence.
    """
    import mwparserfromhell

    heading = _HEADING.search(text)
    lead = text[: heading.start()] if heading else text
    lead = _REF.sub("", _UNREAD.sub("", lead))
    # Infoboxes and tables are most of the markup and nothing of the text; the parser
    # is nine times as quick without them.
    lead = _without_blocks(lead)
    lead = _SWITCH.sub("", _NOTE_LINE.sub("", lead)).strip()
    lead = _VARIANT.sub(r"\1", lead[: length * _MARKUP_KEPT])
    parsed = mwparserfromhell.parse(lead, skip_style_tags=False)
    return cut(_tidied(_text(parsed, site)), length)


_BRACKET = re.compile(r"\{\{|\}\}|^[ \t:]*\{\||^[ \t]*\|\}(?!\})", re.MULTILINE)


def _without_blocks(text: str) -> str:
    """Remove tables, and templates that have their lines for themselves."""
    kept, end = [], 0
    opened: list[tuple[str, int]] = []
    for match in _BRACKET.finditer(text):
        bracket = match[0].strip(" \t:")
        if bracket in ("{{", "{|"):
            opened.append((bracket, match.start()))
            continue
        wanted = "{{" if bracket == "}}" else "{|"
        while opened:
            kind, start = opened.pop()
            if kind == wanted:
                break
        else:
            continue
        if opened:
            continue
        newline = text.find("\n", match.end())
        line_end = len(text) if newline < 0 else newline
        rest = text[match.end() : line_end].strip()
        before = text[text.rfind("\n", 0, start) + 1 : start].strip()
        own_lines = not before and (not rest or rest.startswith("{{"))
        if start >= end and (kind == "{|" or own_lines):
            kept.append(text[end:start])
            end = match.end()
    return "".join(kept) + text[end:]


_DROPPED_TAGS = frozenset(
    {"ref", "references", "table", "gallery", "math", "chem", "timeline", "score"}
    | {"style", "imagemap", "mapframe", "maplink", "graph", "hiero", "templatestyles"}
)
# Templates that show their argument; the others say nothing that a sentence needs.
_SHOWN_ARGUMENTS = {
    "lang": ("2",),
    "nowrap": ("1",),
    "nobr": ("1",),
    "convert": ("1", "2"),
    "cvt": ("1", "2"),
}


def _text(code: Any, site: Site) -> str:
    from mwparserfromhell import nodes

    parts = []
    for node in code.nodes:
        if isinstance(node, nodes.Text):
            parts.append(str(node))
        elif isinstance(node, nodes.Wikilink):
            parts.append(_link_text(node, site))
        elif isinstance(node, nodes.Tag):
            parts.append(_tag_text(node, site))
        elif isinstance(node, nodes.HTMLEntity):
            parts.append(html.unescape(str(node)))
        elif isinstance(node, nodes.Template):
            names = _SHOWN_ARGUMENTS.get(str(node.name).strip().lower(), ())
            values = [node.get(name).value for name in names if node.has(name)]
            parts.append(" ".join(_text(value, site) for value in values))
        elif isinstance(node, nodes.ExternalLink) and node.title is not None:
            parts.append(_text(node.title, site))
    return "".join(parts)


def _link_text(node: Any, site: Site) -> str:
    target = str(node.title)
    if not target.startswith(":") and (
        not site.is_article(target) or site.is_file(target)
    ):
        return ""
    if node.text is not None and str(node.text).strip():
        return _text(node.text, site)
    return _text(node.title, site).lstrip(":").replace("_", " ")


def _tag_text(node: Any, site: Site) -> str:
    name = str(node.tag).strip().lower()
    if name in _DROPPED_TAGS:
        return ""
    if name in ("br", "hr", "p"):
        return " "
    return _text(node.contents, site) if node.contents is not None else ""


_EMPTY_BRACKETS = re.compile(r"\s*[(（\[][\s,;:/–—・、，；：-]*[)）\]]")
_OPENING = re.compile(r"([(（])[\s,;:、，；：]+")
_CLOSING = re.compile(r"[\s,;:、，；：]+([)）])")
_DOUBLED = re.compile(r"[,;](?:\s*[,;])+")
_BEFORE_MARK = re.compile(r"\s+([,.;:!?])(?=\s|$)")


def _tidied(text: str) -> str:
    """RETURNS (str): one line, without the brackets and commas that dropped templates
    leave behind."""
    text = " ".join(text.split())
    text = _DOUBLED.sub(lambda match: match[0][-1], text)
    text = _EMPTY_BRACKETS.sub("", _CLOSING.sub(r"\1", _OPENING.sub(r"\1", text)))
    return _BEFORE_MARK.sub(r"\1", text).strip(" ,;")


def cut(text: str, length: int) -> str:
    """RETURNS (str): at most so many characters, whole sentences if there is one."""
    if len(text) <= length:
        return text
    end = 0
    for match in SENTENCE_END.finditer(text, 0, length + 1):
        if match.end() <= length:
            end = match.end()
    if end:
        return text[:end]
    space = text.rfind(" ", 0, length)
    return text[: space if space > 0 else length - 1].rstrip(" ,;:") + "…"
