"""Mentions of which nothing is known but their names."""


class NamedMentions:
    """A `MentionBatch` of names alone, where nothing is encoded."""

    device = "cpu"

    def __init__(self, texts, contexts=None):
        self.texts = texts
        self.contexts = [""] * len(texts) if contexts is None else contexts

    def queries(self, names=()):
        return {}
