"""Multimodal entity linking for spaCy: text, pictures and a KnowledgeBase on disk."""

from .about import __version__

__all__ = ["__version__"]
