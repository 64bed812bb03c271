"""Mentions of which nothing is known but their names."""


class NamedMentions:
    """A `MentionBatch` of names alone, where nothing is encoded."""

    device, text_set = "cpu", None

    def __init__(self, texts, contexts=None):
        self.texts = texts
        self.contexts = [""] * len(texts) if contexts is None else contexts

    def vectors(self, name):
        return None
