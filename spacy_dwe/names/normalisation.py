"""How names are compared: normalised text, hashed words, hashed character n-grams.

Hashes go to disk, so they are stable between processes and machines.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from spacy.strings import hash_string  # type: ignore[attr-defined]

GRAM_ORDER = 3
"""Characters of an n-gram. Orders 2 to 5 together rank no better on Richpedia-MEL and
WikiMEL and cost three times as much."""
BUCKETS = 1 << 18
"""Of n-grams and of words: a table of weights this long stays in a core's cache."""

_IDEOGRAPHS = ("CJK ", "HIRAGANA", "KATAKANA", "KANGXI", "BOPOMOFO")
# Letters with a stroke or joined letters that Unicode does not decompose, and those of
# the Arabic script that are written one for another.
_FOLDED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i"}
    | {"æ": "ae", "œ": "oe", "þ": "th"}
    | {"ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك"}
)
APOSTROPHES = "'’‘‛`´′ʼʻʽʾʿˈˊˋꞌ＇՚׳"
_FORMLESS = "\u0640\u034f\u115f\u1160\u3164\uffa0" + "".join(
    map(chr, range(0xFE00, 0xFE10))
)
"""Characters beside those of format that are not seen, or only lengthen a word."""
_TAG = re.compile(r"[#@](\w+)")
_HUMP = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z\d])")
_AMPERSAND = re.compile(r"(\w*)(\s*)&\s*(\w*)")
_LETTER = "[a-z\u0370-\u058f\u05d0-\u05ea\u0620-\u064a\u10a0-\u10ff]"
_LETTERS = re.compile(rf"(?<!\S){_LETTER}(?: {_LETTER})+(?!\S)")
NUMERALS = ("ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii")
"""Roman, from 2 on. Single letters are letters."""
_BEFORE_NAMES = {"st": "saint", "ste": "sainte", "mt": "mount", "ft": "fort"}
_BEFORE_NAMES |= {"dept": "department", "univ": "university", "intl": "international"}
_AFTER_NAMES = {"jr": "junior", "sr": "senior"} | {
    numeral: str(number)
    for number, numeral in enumerate(NUMERALS, start=2)
    if len(numeral) > 1
}
_REMEMBERED, _SHORT = 1 << 11, 1_000
"""Texts, and their characters at most: search and several channels normalise the same
mentions and contexts, and whole articles are not worth the memory."""


def normalise(text: str) -> str:
    """One form for what is one name: docs/names.md has the table of rules.

    RETURNS (str): words separated by one space; empty only for blank text.
    """
    return _normalised(text) if len(text) > _SHORT else _remembered(text)


def _normalised(text: str) -> str:
    if "#" in text or "@" in text:
        text = _TAG.sub(_of_tag, text)
    if "&" in text:
        text = _AMPERSAND.sub(_of_ampersand, text)
    # Nothing joins over a space, and most words of a long text are ASCII.
    parts = [text] if text.isascii() else text.split(" ")
    bare = [part.lower() if part.isascii() else _bare(part) for part in parts]
    words = " ".join(bare).translate(_CLASSES).split()
    if not words:
        return " ".join(text.casefold().split())
    return " ".join(_written_out(words))


_remembered = lru_cache(_REMEMBERED)(_normalised)


def _written_out(words: list[str]) -> list[str]:
    """RETURNS (list[str]): single letters in a row joined, F B I as FBI, and what names
    are often abbreviated by in one form."""
    if any(len(left) == 1 == len(right) for left, right in pairwise(words)):
        joined = _LETTERS.sub(lambda own: own[0].replace(" ", ""), " ".join(words))
        words = joined.split()
    for place, word in enumerate(words):
        if place and word in _AFTER_NAMES:
            words[place] = _AFTER_NAMES[word]
        elif word in _BEFORE_NAMES and place + 1 < len(words):
            words[place] = _BEFORE_NAMES[word]
    return words


def _of_tag(tag: re.Match[str]) -> str:
    """RETURNS (str): the words of a tag, which capital letters tell."""
    return " " + _HUMP.sub(" ", tag[1].replace("_", " "))


def _of_ampersand(found: re.Match[str]) -> str:
    left, space, right = found.groups()
    lengths = sorted((len(left), len(right)))
    is_letters = lengths == [1, 1] or (lengths[0] == 1 and not space)
    return f"{left}{right}" if is_letters else f"{left} and {right}"


def _bare(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = unicodedata.normalize("NFC", decomposed.translate(_MARKS))
    return bare.translate(_FOLDED)


class _Marks(dict[int, str | None]):
    """Deletes diacritics. Vowel signs and tone marks of scripts where they make
    another word (class 0, Thai, Lao, the kana voicing mark) stay."""

    def __missing__(self, code: int) -> str | None:
        kind = unicodedata.combining(chr(code))
        value = None if 10 <= kind <= 35 or kind >= 200 else chr(code)
        self[code] = value
        return value


class _Classes(dict[int, str]):
    """Keeps letters, digits and marks, spaces out ideographs, deletes what is not seen
    and apostrophes, which are left out as often as not, and blanks the rest."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)
        if char in APOSTROPHES or char in _FORMLESS or kind == "Cf":
            value = ""
        elif kind[0] not in "LNM":
            value = " "
        elif unicodedata.name(char, "").startswith(_IDEOGRAPHS):
            value = f" {char} "
        else:
            value = char
        self[code] = value
        return value


_MARKS = _Marks()
_CLASSES = _Classes()
_POSSESSIVE = re.compile(rf"(?<=[\w.])\s?[{APOSTROPHES}]\s?s\W*$", re.IGNORECASE)
_ARTICLE = re.compile(r"^\s*the\s+(?=\S)", re.IGNORECASE)
_QUALIFIED = re.compile(r"(?<=\S)\s*[(\uff08][^()\uff08\uff09]*[)\uff09]\s*$")


def bare(mention: str) -> str:
    """RETURNS (str): Hopper of Hopper's, EU of the EU, and others as they are."""
    return _ARTICLE.sub("", _POSSESSIVE.sub("", mention))


def without_qualifier(title: str) -> str:
    """RETURNS (str): Fred of "Fred (footballer)"; equal to the title without one."""
    return _QUALIFIED.sub("", title)


def initials(words: Sequence[str]) -> str:
    """RETURNS (str): the first letters of several words; empty for a single one."""
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def text_hash(text: str) -> int:
    """RETURNS (int): 64-bit hash of a string."""
    return int(hash_string(text))


def text_hashes(texts: Sequence[str]) -> np.ndarray:
    """RETURNS (np.ndarray): a hash a text. Shape: (len(texts),), uint64"""
    return np.fromiter(map(hash_string, texts), dtype=np.uint64, count=len(texts))


def word_buckets(words: Sequence[str]) -> np.ndarray:
    """RETURNS (np.ndarray): a bucket a word. Shape: (len(words),), uint32"""
    return (text_hashes(words) & np.uint64(BUCKETS - 1)).astype(np.uint32)


def gram_buckets(keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hash the character n-grams of normalised texts, word boundaries included.

    keys (Sequence[str]): normalised texts.
    RETURNS (tuple[np.ndarray, np.ndarray]): the sorted distinct buckets of all texts,
        one text after the other, and where each text starts.
        Shapes: (total,), uint32 and (len(keys) + 1,), int64
    """
    padded = [f" {key} " for key in keys]
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    codes = np.frombuffer(
        "".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32
    ).astype(np.uint64)
    owners = np.repeat(np.arange(len(keys), dtype=np.uint64), lengths)
    remaining = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))
    starts = np.flatnonzero(remaining >= GRAM_ORDER)
    value = np.zeros(len(starts), dtype=np.uint64)
    for step in range(GRAM_ORDER):
        value = _mix(value ^ codes[starts + step])
    bucket = value & np.uint64(BUCKETS - 1)
    distinct = np.unique(owners[starts] << np.uint64(32) | bucket)
    offsets = np.zeros(len(keys) + 1, dtype=np.int64)
    counts = np.bincount(
        (distinct >> np.uint64(32)).astype(np.int64), minlength=len(keys)
    )
    np.cumsum(counts, out=offsets[1:])
    return (distinct & np.uint64(0xFFFFFFFF)).astype(np.uint32), offsets


def _mix(value: np.ndarray) -> np.ndarray:
    """A step of the splitmix64 generator: all input bits reach the low output bits."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
