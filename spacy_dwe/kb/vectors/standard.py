"""Standardising a space of pictures: what varies among pictures of the same entity says
little of which one it is, and counts less.

Vectors are centred, and whitened by the covariance within entities, which is shrunken
towards a multiple of the identity (Ledoit & Wolf, 2004, Journal of Multivariate
Analysis 88, by the estimators of section 3.3). What is fitted to a KB's own pictures
when they are first encoded is kept as the KB grows, so that what was learned with it
holds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from ...errors import DweError, Errors
from ...names.likeness import ragged
from ..arrays import ArrayWriter, map_array, stem_of

MOST_PICTURES = 20_000
"""Pictures that are read to fit."""
LEAST_PAIRS = 20
"""Pictures beyond one an entity, under which nothing can be told of what varies."""
MOST_MEASURED = 2_000
"""Entities whose pictures are compared to measure what cosines say."""
STEEPEST = 40.0
"""Slope of a `PictureScale`, at most: pictures of few entities lie further apart."""
SUREST, ASIDE = 8.0, 0.1
"""Bounds of what a `PictureScale` says: pictures are taken to say no more, and a share
of them to show something else than what they stand beside."""
NEARLY_ONE = 0.98
"""Gain from which on a direction is left as it is."""
VERSION = 1
"""Raised when this package fits something else to unchanged pictures."""
_BLOCK = 4096
_SEED = 0


@dataclass(frozen=True, eq=False)
class Standardisation:
    """y = unit((x - mean) + directionsᵀ ((gains - 1) · directions (x - mean))).

    mean (np.ndarray): Shape: (dim,), float32
    directions (np.ndarray): orthonormal, those that vary most within entities.
        Shape: (n_directions, dim), float32
    gains (np.ndarray): what is kept of each, below 1. Shape: (n_directions,), float32
    """

    mean: np.ndarray
    directions: np.ndarray
    gains: np.ndarray

    @classmethod
    def fitted(cls, vectors: np.ndarray, entities: np.ndarray) -> Self | None:
        """Fit to pictures.

        vectors (np.ndarray): unit vectors. Shape: (n, dim), float32
        entities (np.ndarray): the entity of each. Shape: (n,), int
        RETURNS (Standardisation | None): None where too few entities have several.
        """
        _, owners = np.unique(entities, return_inverse=True)
        counts = np.bincount(owners)
        n_pairs = len(vectors) - len(counts)
        if n_pairs < LEAST_PAIRS:
            return None
        means = np.zeros((len(counts), vectors.shape[1]))
        np.add.at(means, owners, vectors)
        rest = vectors - (means / counts[:, None])[owners]
        variances, directions = _principal(rest, n_pairs)
        shrunken, floor = _shrunken(rest, variances, n_pairs)
        if not floor > 0:
            return None
        gains = np.sqrt(floor / shrunken)
        kept = gains < NEARLY_ONE
        return cls(
            vectors.mean(axis=0, dtype=np.float64).astype(np.float32),
            directions[kept].astype(np.float32),
            gains[kept].astype(np.float32),
        )

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """vectors (np.ndarray): of the encoder. Shape: (n, dim), float32
        RETURNS (np.ndarray): unit vectors. Shape: (n, dim), float32"""
        centred = vectors - self.mean
        along = centred @ self.directions.T
        out = centred + (along * (self.gains - 1)) @ self.directions
        lengths = np.linalg.norm(out, axis=-1, keepdims=True)
        # A picture that is the mean itself is like no other.
        out[lengths[:, 0] < 1e-6] = vectors[lengths[:, 0] < 1e-6]
        unit: np.ndarray = out / np.linalg.norm(out, axis=-1, keepdims=True)
        return unit.astype(np.float32, copy=False)

    def as_map(self) -> tuple[np.ndarray, np.ndarray]:
        """RETURNS (tuple[np.ndarray, np.ndarray]): W and b of the same as
        y = unit(W x + b). Shapes: (dim, dim) and (dim,), float32"""
        weight = np.eye(len(self.mean), dtype=np.float32)
        weight += self.directions.T @ ((self.gains - 1)[:, None] * self.directions)
        return weight, -weight @ self.mean

    @classmethod
    def read(cls, kb: Path, file: str) -> Self:
        """kb (Path): the KB's folder.
        file (str): path below it.
        RAISES (DweError): it is missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return cls(**load((kb / file).read_bytes()))
        except FileNotFoundError:
            raise DweError(Errors.E104.format(path=kb, file=file)) from None
        except (OSError, SafetensorError, TypeError) as error:
            raise DweError(
                Errors.E105.format(path=kb, file=file, reason=error)
            ) from None

    def write(self, path: Path) -> None:
        from safetensors.numpy import save

        arrays = {
            "mean": self.mean,
            "directions": self.directions,
            "gains": self.gains,
        }
        path.write_bytes(
            save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
        )


def standardise(
    kb: Path, entry: Mapping[str, Any], committed: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Standardise the vectors of a set that are new, by what the set has been
    standardised by; fit that, if the set is new.

    kb (Path): the KB's folder.
    entry (Mapping[str, Any]): of the set in the version that is being made.
    committed (Mapping[str, Any] | None): the same in the version that is extended.
    RETURNS (dict[str, Any]): more entries of the set: "standard", which stands for the
        pictures that it is fitted to; none where these do not tell what varies.
    """
    stem = stem_of(entry)
    raw = map_array(kb, entry["array"], entry["count"])
    file, done = f"{stem}.standard.safetensors", 0
    if committed is not None:
        if not committed.get("standard"):
            return {}
        standard, done = Standardisation.read(kb, file), committed["count"]
        told = committed["standard"]
    else:
        fitted = Standardisation.fitted(*sampled(kb, entry))
        if fitted is None:
            return {}
        standard, told = fitted, _fingerprint(kb, entry)
        standard.write(kb / file)
    tail = (entry["dim"],)
    path = kb / f"{stem}.standard.npy"
    with ArrayWriter(path, np.float16, tail, length=done) as writer:
        for start in range(done, len(raw), _BLOCK):
            end = min(start + _BLOCK, len(raw))
            writer.append(standard(raw[start:end].astype(np.float32)))
    return {"standard": told}


class PictureScale(NamedTuple):
    """What the cosine of two pictures, the nearest of an entity's and another, says of
    whether both show the entity: slope * (cosine - centre) is the logarithm of how much
    likelier it is if they do than if they do not (linear discriminant analysis)."""

    slope: float
    centre: float

    def __call__(self, cosines: np.ndarray) -> np.ndarray:
        """RETURNS (np.ndarray): the logarithms, below `SUREST`, where `ASIDE` of all
        pictures show something else than what they stand beside. Shape: as cosines"""
        shown = SUREST * np.tanh(self.slope * (cosines - self.centre) / SUREST)
        return np.log(ASIDE + (1 - ASIDE) * np.exp(shown))

    @classmethod
    def measured(
        cls, vectors: np.ndarray, entities: np.ndarray, standardised: bool
    ) -> Self | None:
        """Measure it on pictures: each beside the others of its entity, and beside
        those of another one.

        vectors (np.ndarray): of the encoder. Shape: (n, dim), float32
        entities (np.ndarray): the entity of each. Shape: (n,), int
        standardised (bool): they are compared standardised: by what half of the
            entities tells, the other half is measured.
        RETURNS (PictureScale | None): None where too few entities have several.
        """
        random = np.random.default_rng(_SEED)
        _, owners = np.unique(entities, return_inverse=True)
        counts = np.bincount(owners)
        if len(vectors) - len(counts) < LEAST_PAIRS:
            return None
        halves = random.permutation(len(counts)) % 2
        same, other = [], []
        for half in (0, 1) if standardised else (None,):
            measured, compared = halves[owners] == half, vectors
            if half is None:
                measured[:] = True
            else:
                standard = Standardisation.fitted(vectors[~measured], owners[~measured])
                if standard is not None:
                    compared = standard(vectors)
            own, others = _nearest(compared[measured], owners[measured], random)
            same.append(own)
            other.append(others)
        return cls._of(np.concatenate(same), np.concatenate(other))

    @classmethod
    def _of(cls, same: np.ndarray, other: np.ndarray) -> Self | None:
        if min(len(same), len(other)) < LEAST_PAIRS:
            return None
        variance = (same.var() + other.var()) / 2
        apart = same.mean() - other.mean()
        if not (variance > 0 and apart > 0):
            return None
        slope = min(apart / variance, STEEPEST)
        return cls(float(slope), float((same.mean() + other.mean()) / 2))


def _nearest(
    vectors: np.ndarray, owners: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): cosine of pictures with the nearest
    other one of their entity, and with the nearest of another entity that has several.
    Shape of each: (n_measured,)"""
    order = np.argsort(owners, kind="stable")
    _, first, counts = np.unique(owners[order], return_index=True, return_counts=True)
    several = random.permutation(np.flatnonzero(counts > 1))[:MOST_MEASURED]
    own = [order[first[i] : first[i] + counts[i]] for i in several]
    same, other = [], []
    for mine, theirs in zip(own, [*own[1:], *own[:1]]):
        cosines = vectors[mine] @ vectors[mine].T
        np.fill_diagonal(cosines, -1.0)
        same.append(cosines.max(axis=1))
        if mine is not theirs:
            other.append((vectors[mine] @ vectors[theirs].T).max(axis=1))
    none = [np.zeros(0, dtype=np.float32)]
    return np.concatenate(same or none), np.concatenate(other or none)


def sampled(kb: Path, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures as their encoder made them.

    kb (Path): the KB's folder.
    entry (Mapping[str, Any]): of the set.
    RETURNS (tuple[np.ndarray, np.ndarray]): all pictures of some entities, first of
        those that have several, and the row of each. Shapes: (n, dim), float32 and (n,)
    """
    raw = map_array(kb, entry["array"], entry["count"])
    places, rows = _chosen(kb, entry)
    return raw[places].astype(np.float32), rows


def _chosen(kb: Path, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): places of the pictures that `sampled`
    reads, and the row of each, in order. Shape of each: (n,)"""
    stem = stem_of(entry)
    offsets = map_array(kb, f"{stem}.offsets.npy", entry["rows"] + 1)
    places = map_array(kb, f"{stem}.places.npy", entry["uses"])
    counts = np.diff(offsets)
    random = np.random.default_rng(_SEED)
    order = np.concatenate(
        [random.permutation(np.flatnonzero(each)) for each in (counts > 1, counts == 1)]
    )
    rows = np.sort(order[np.cumsum(counts[order]) <= MOST_PICTURES])
    _, flat, owners = ragged(offsets, rows)
    return places[flat], rows[owners]


def _fingerprint(kb: Path, entry: Mapping[str, Any]) -> str:
    """RETURNS (str): of the pictures that are read to fit, as each entity's, in
    whichever order; 8 digits. What is fitted to them differs between machines in its
    last bits, by which nothing that was learned with it is lost."""
    stem = stem_of(entry)
    keys = map_array(kb, f"{stem}.keys.npy", entry["count"])
    places, rows = _chosen(kb, entry)
    ends = np.flatnonzero(np.diff(rows)) + 1
    albums = sorted(
        sorted(keys[place].tobytes() for place in own) for own in np.split(places, ends)
    )
    digest = hashlib.sha256(f"{VERSION}".encode())
    for album in albums:
        digest.update(b"%d" % len(album) + b"".join(album))
    return digest.hexdigest()[:8]


def _principal(rest: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[np.ndarray, np.ndarray]): variances above zero, and their
    directions. Shapes: (r,) and (r, dim)"""
    n, dim = rest.shape
    rest = rest.astype(np.float64)
    if n < dim:
        variances, turned = np.linalg.eigh(rest @ rest.T / n_pairs)
        kept = variances > variances[-1] * 1e-9
        variances = variances[kept]
        lengths = np.sqrt(variances * n_pairs)
        return variances, (rest.T @ turned[:, kept] / np.maximum(lengths, 1e-30)).T
    variances, directions = np.linalg.eigh(rest.T @ rest / n_pairs)
    kept = variances > variances[-1] * 1e-9
    return variances[kept], directions.T[kept]


def _shrunken(
    rest: np.ndarray, variances: np.ndarray, n_pairs: int
) -> tuple[np.ndarray, float]:
    """RETURNS (tuple[np.ndarray, float]): shrunken variances along the principal
    directions, and along all others."""
    dim = rest.shape[1]
    mean = variances.sum() / dim
    squares = (variances**2).sum()
    distance = squares / dim - mean**2
    fourth = (np.einsum("nd,nd->n", rest, rest) ** 2).sum() / n_pairs
    noise = (fourth - squares) / n_pairs / dim
    share = min(max(noise, 0.0), distance) / distance if distance > 0 else 1.0
    floor = share * mean
    return (1 - share) * variances + floor, float(floor)
