"""Frozen encoders: texts and pictures to vectors. Light to import."""

from .registry import clip_encoder, encoder_from_spec, picture_encoder, text_encoder

__all__ = ["clip_encoder", "encoder_from_spec", "picture_encoder", "text_encoder"]
