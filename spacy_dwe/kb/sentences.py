"""Where sentences of descriptions end, without a model of any language."""

import re

# A full stop after one or two letters is most often that of an abbreviation.
SENTENCE_END = re.compile(
    r"""(?<=[\w)\]"”’»%]{3})[.!?…।]+["'”’»)\]]*(?=\s)|[。！？]+[”」』）]*"""
)
_OPENING, _CLOSING = "([{（［", ")]}）］"


def first_sentence(text: str) -> str:
    """The first sentence of a text. An end between brackets is none.

    text (str): such as the abstract of an article.
    RETURNS (str): on one line; all of the text where no sentence ends before it does.
    """
    text = " ".join(text.split())
    for match in SENTENCE_END.finditer(text):
        before = text[: match.start()]
        opened = sum(before.count(mark) for mark in _OPENING)
        if opened <= sum(before.count(mark) for mark in _CLOSING):
            return text[: match.end()]
    return text
