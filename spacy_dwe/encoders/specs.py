"""Paths in encoders' config blocks. In a KB that carries its encoders a path begins
with "kb:" and the KB's folder, so that it holds wherever the KB is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

INSIDE = "kb:"
_LOCAL_DIR = "local-dir:"
"""open_clip's own scheme for a folder with a model."""


def encoder_path(spec: Mapping[str, Any], base: str | Path | None) -> Path | None:
    """The folder, or the file of weights, that a config block names.

    spec (Mapping[str, Any]): an encoder's `spec`.
    base (str | Path | None): the folder that "kb:" stands for.
    RETURNS (Path | None): None for a model that is known by its name. What lies
        nowhere is a path if it begins at the root.
    """
    _, _, text = _place(spec)
    if text.startswith(INSIDE) and base is not None:
        return Path(base) / text.removeprefix(INSIDE)
    path = Path(text).expanduser() if text else Path()
    if path.is_absolute() or (text and path.exists()):
        return path.absolute()
    return None


def with_encoder_path(spec: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with another path in it."""
    key, prefix, _ = _place(spec)
    return {**spec, key: f"{prefix}{path}"}


def spec_from(spec: Mapping[str, Any], base: str | Path | None) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the config block with "kb:" replaced by `base`."""
    if base is None or not _place(spec)[2].startswith(INSIDE):
        return dict(spec)
    return with_encoder_path(spec, encoder_path(spec, base) or "")


def spec_inside(spec: Mapping[str, Any], base: str | Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): the opposite of `spec_from`: a path below `base` then
    begins with "kb:", other ones stay."""
    path, folder = encoder_path(spec, base), Path(base).resolve()
    if path is None or not path.resolve().is_relative_to(folder):
        return dict(spec)
    below = path.resolve().relative_to(folder).as_posix()
    return with_encoder_path(spec, f"{INSIDE}{below}")


def _place(spec: Mapping[str, Any]) -> tuple[str, str, str]:
    """RETURNS (tuple[str, str, str]): the key that may name a path, what stands before
    the path in its value, and the rest of the value."""
    if "model" not in spec:
        return "name", "", str(spec.get("name") or "")
    model = str(spec["model"])
    if model.startswith(_LOCAL_DIR):
        return "model", _LOCAL_DIR, model.removeprefix(_LOCAL_DIR)
    return "pretrained", "", str(spec.get("pretrained") or "")
