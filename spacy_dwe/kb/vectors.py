"""Entity vectors on disk: one set for each field and encoder, memory-mapped."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import DweError, Errors
from .arrays import map_array

FOLDER = "vectors"


@dataclasses.dataclass(frozen=True, eq=False)
class VectorSet:
    """Unit vectors of one field, made by one encoder.

    name (str): "field@encoder key", such as description@text.
    field (str): "description" or "image".
    fingerprint (str): of the encoder that made the vectors.
    spec (dict[str, Any]): config block that builds the encoder again.
    dim (int): width of a vector.
    mean, std (float): of the cosine of random pairs of entities.
    cross_mean, cross_std (float | None): of the cosine of a description and the
        picture of another entity; None where the KB has no pictures.
    array (np.ndarray): the vectors. Shape: (n_vectors, dim), float16
    index (np.ndarray): place of each row's vector, -1 for none.
        Shape: (n_rows,), int32
    """

    name: str
    field: str
    fingerprint: str
    spec: dict[str, Any]
    dim: int
    mean: float
    std: float
    cross_mean: float | None
    cross_std: float | None
    array: np.ndarray = dataclasses.field(repr=False)
    index: np.ndarray = dataclasses.field(repr=False)

    @classmethod
    def open(cls, kb: Path, name: str, meta: dict[str, Any]) -> Self:
        """Map a set into memory.

        kb (Path): the KB's folder.
        name (str): of the set.
        meta (dict[str, Any]): its entry in the KB's version.
        RETURNS (VectorSet): the set.
        """
        return cls(
            name=name,
            field=meta["field"],
            fingerprint=meta["fingerprint"],
            spec=meta["spec"],
            dim=meta["dim"],
            mean=meta["mean"],
            std=meta["std"],
            cross_mean=meta.get("cross_mean"),
            cross_std=meta.get("cross_std"),
            array=_checked(kb, meta["array"], (meta["count"], meta["dim"]), np.float16),
            index=_checked(kb, meta["index"], (meta["rows"],), np.int32),
        )

    def gather(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read vectors of rows.

        RETURNS (tuple[np.ndarray, np.ndarray]): unit vectors, zero where there is none,
            and where there is one. Shapes: (len(rows), dim), float32 and (len(rows),)
        """
        places = self.index[np.asarray(rows, dtype=np.int64)]
        present = places >= 0
        vectors = np.zeros((len(places), self.dim), dtype=np.float32)
        vectors[present] = self.array[places[present]]
        return vectors, present


def _checked(
    kb: Path, file: str, shape: tuple[int, ...], dtype: type[np.generic]
) -> np.ndarray:
    """Map an array; its file may have grown since the version that names it."""
    array = map_array(kb, file)
    if len(array) < shape[0] or array.shape[1:] != shape[1:] or array.dtype != dtype:
        reason = f"{array.dtype} {array.shape} where {np.dtype(dtype)} {shape} belongs"
        raise DweError(Errors.E105.format(path=kb, file=file, reason=reason))
    return array[: shape[0]]
