"""Multimodal entity linking for spaCy: text, pictures and a KnowledgeBase on disk.

What users import stands here, and is loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .about import __version__

if TYPE_CHECKING:
    from .building.build import build_kb as build_kb
    from .building.update import add_entities as add_entities
    from .building.update import encode_kb as encode_kb
    from .building.update import merge_kbs as merge_kbs
    from .building.update import rebuild_kb as rebuild_kb
    from .building.update import remove_entities as remove_entities
    from .bundle import bundle as bundle
    from .channels.base import Channel as Channel
    from .documents import Document as Document
    from .documents import make_docs as make_docs
    from .documents import read_documents as read_documents
    from .encoders.protocol import ImageEncoder as ImageEncoder
    from .encoders.protocol import MentionFeatures as MentionFeatures
    from .encoders.protocol import TextEncoder as TextEncoder
    from .encoders.protocol import mentions_as_texts as mentions_as_texts
    from .encoders.registry import clip_encoder as clip_encoder
    from .encoders.registry import picture_encoder as picture_encoder
    from .encoders.registry import text_encoder as text_encoder
    from .errors import DweError as DweError
    from .evaluation.evaluate import evaluate_docs as evaluate_docs
    from .images import ImageRef as ImageRef
    from .kb.candidates import Candidates as Candidates
    from .kb.candidates import FoundBy as FoundBy
    from .kb.entity import Alias as Alias
    from .kb.entity import Entity as Entity
    from .kb.entity import read_entities as read_entities
    from .kb.entity import write_entities as write_entities
    from .kb.generators import CandidateGenerator as CandidateGenerator
    from .kb.knowledge_base import DweKnowledgeBase as DweKnowledgeBase
    from .links import KBCandidate as KBCandidate
    from .model.modalities import Modality as Modality
    from .pipeline import DweLinker as DweLinker
    from .settings import DweSettings as DweSettings
    from .settings import LinkerSettings as LinkerSettings
    from .tokens import register_candidates as register_candidates

_ROOMS = {
    "building.build": ("build_kb",),
    "building.update": (
        *("add_entities", "encode_kb", "merge_kbs", "rebuild_kb", "remove_entities"),
    ),
    "bundle": ("bundle",),
    "channels.base": ("Channel",),
    "documents": ("Document", "make_docs", "read_documents"),
    "encoders.protocol": (
        *("ImageEncoder", "MentionFeatures", "TextEncoder", "mentions_as_texts"),
    ),
    "encoders.registry": ("clip_encoder", "picture_encoder", "text_encoder"),
    "errors": ("DweError",),
    "evaluation.evaluate": ("evaluate_docs",),
    "images": ("ImageRef",),
    "kb.candidates": ("Candidates", "FoundBy"),
    "kb.entity": ("Alias", "Entity", "read_entities", "write_entities"),
    "kb.generators": ("CandidateGenerator",),
    "kb.knowledge_base": ("DweKnowledgeBase",),
    "links": ("KBCandidate",),
    "model.modalities": ("Modality",),
    "pipeline": ("DweLinker",),
    "settings": ("DweSettings", "LinkerSettings"),
    "tokens": ("register_candidates",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
