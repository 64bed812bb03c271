"""The KnowledgeBase that users hold: entities, names, descriptions and vectors."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.kb import Candidate, KnowledgeBase
from spacy.tokens import Span
from spacy.vocab import Vocab

from ..errors import DweError, Errors
from ..names.normalisation import bare, normalise, text_hashes
from .candidates import Candidates, FoundBy
from .entity import Entity
from .index.lexicon import Lexicon, priors
from .index.snapshot import FOLDER as NAMES_FOLDER
from .index.snapshot import INDEX_FOLDER
from .storage.folder import FORMAT, META_FILE, kb_path, reference_to
from .storage.store import EntityStore
from .vectors.sets import (
    CLIP_SPACE,
    DESCRIPTION,
    DESCRIPTIONS,
    IMAGE,
    SetName,
    VectorSet,
)

if TYPE_CHECKING:
    from .vectors.entity_index import NearestEntities
    from .vectors.joint_search import Queries

_KEPT_VALUES = 1 << 16
"""Rows, about, whose value under a key is kept in memory."""
_NAMES_EACH = 2
"""Names to look for at first for each candidate, at most, if entities have several."""


class DweKnowledgeBase(KnowledgeBase):
    """Entities with names, descriptions and vectors, in a folder. Opening reads no
    entity; what is read stays at one version until the KB is opened again. Entities are
    known by their row, a number that never changes its meaning.

    store (EntityStore): entities and versions, as they are on disk.
    lexicon (Lexicon): what names and facts are compared by.
    """

    def __init__(self, path: str | Path, vocab: Vocab | None = None) -> None:
        """path (str | Path): the KB's folder.
        vocab (Vocab | None): vocab of the pipeline; needed by spaCy's EntityLinker.
        """
        self._open(Path(path))
        super().__init__(Vocab() if vocab is None else vocab, self._vector_length())

    def _open(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        check_format(self.path)
        self.store = EntityStore(self.path)
        while True:
            try:
                self._map_files()
                return
            except DweError:
                # A writer may have removed files since the version was read.
                newer = EntityStore(self.path)
                if newer.version == self.store.version:
                    raise
                self.store = newer

    def _map_files(self) -> None:
        from .index.names import TantivyNames

        self.meta: dict[str, Any] = self.store.version.meta
        folder = f"{NAMES_FOLDER}/{self.store.version.snapshot}"
        self.lexicon = Lexicon.open(self.path, folder, self.n_rows)
        # Opened now, not at the first search: by then a writer may have removed it.
        self._names = TantivyNames(self.path, f"{folder}/{INDEX_FOLDER}")
        self.vector_sets: dict[SetName, VectorSet] = {
            (name := SetName.read(text)): VectorSet.open(
                self.path, name, meta, self.store.removed
            )
            for text, meta in self.meta["vectors"].items()
        }
        self._dense: dict[tuple[SetName, str], NearestEntities] = {}
        self._values: dict[str, dict[int, Any]] = {}

    def __len__(self) -> int:
        return int(self.meta["entities"])

    def __repr__(self) -> str:
        return f"DweKnowledgeBase({str(self.path)!r}, entities={len(self)})"

    @property
    def n_indexed(self) -> int:
        """RETURNS (int): names that the search index holds."""
        return len(self._names)

    @property
    def n_rows(self) -> int:
        """RETURNS (int): rows, removed ones included; every row is below it."""
        return int(self.meta["rows"])

    @property
    def text_set(self) -> SetName | None:
        """RETURNS (SetName | None): name of the vectors that texts are compared with:
        those of the space "text", else those of another encoder of texts, else those
        of CLIP, else None."""
        sets = [name for name in self.vector_sets if name.field == DESCRIPTION]
        sets.sort(key=lambda name: (name != DESCRIPTIONS, name.space == CLIP_SPACE))
        return next(iter(sets), None)

    @property
    def picture_spaces(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): the spaces that pictures are compared in, CLIP's
        first."""
        in_clip = any(name.space == CLIP_SPACE for name in self.vector_sets)
        spaces = [name.space for name in self.vector_sets if name.field == IMAGE]
        return tuple(dict.fromkeys([CLIP_SPACE] * in_clip + spaces))

    # Candidates

    def search(
        self,
        mentions: Sequence[str],
        n: int = 100,
        contexts: Sequence[str] | None = None,
    ) -> Candidates:
        """Entities with a name that equals the mention, shares words with it, is spelt
        like it, or that it abbreviates.

        mentions (Sequence[str]): texts.
        n (int): most candidates a mention.
        contexts (Sequence[str] | None): sentences that the mentions stand in. Their
            words choose among too many names, and add entities that they name.
        RETURNS (Candidates): equal names first, then the most similar.
        """
        from .index.search import search_names

        keys = [normalise(bare(mention)) for mention in mentions]
        per_entity = min(max(self.meta["names"] / self.n_rows, 1), _NAMES_EACH)
        return search_names(
            self.lexicon,
            self._names,
            keys,
            self.exact(mentions),
            contexts,
            n,
            n_names=round(n * per_entity),
            is_live=self._is_live,
        )

    def nearest(
        self, name: SetName, queries: np.ndarray, n: int, device: str = "cpu"
    ) -> Candidates:
        """Entities whose vectors are nearest to others.

        name (SetName): the vector set to look in.
        queries (np.ndarray): unit vectors. Shape: (n_mentions, dim), float32
        n (int): most candidates a mention.
        device (str): torch device to compute on.
        RETURNS (Candidates): by cosine, equal ones by id.
        """
        return self._nearest_in(name, device)(queries, n)

    def nearest_by(
        self, queries: "Mapping[SetName, Queries]", n: int, device: str = "cpu"
    ) -> Candidates:
        """Entities that are nearest to mentions in several vector sets together.

        queries (Mapping[SetName, Queries]): of the same mentions, by vector set.
        n (int): most candidates a mention; one with no query finds none.
        device (str): torch device to compute on.
        RETURNS (Candidates): by what the sets say together, see `JointSearch`, equal
            ones by id.
        """
        from .vectors.joint_search import JointSearch

        if len(queries) == 1:
            ((name, own),) = queries.items()
            found = self.nearest(name, own.vectors[own.present], n, device)
            return found.among(own.present)
        search = JointSearch(
            self.vector_sets,
            live=self._live_rows(),
            sort_key=self.lexicon.sort_key,
            device=device,
        )
        return search(queries, n)

    def exact(self, mentions: Sequence[str], *, whole_only: bool = False) -> Candidates:
        """Entities with a name equal to the mention but for case, diacritics and
        punctuation.

        mentions (Sequence[str]): texts.
        whole_only (bool): not to what is left of it without an article or possessive.
        RETURNS (Candidates): by row.
        """
        wholes = [normalise(mention) for mention in mentions]
        found = self._exact(wholes)
        cut = [normalise(bare(mention)) for mention in mentions]
        if whole_only or cut == wholes:
            return found
        return found.union(self._exact(cut))

    def all_rows(self, n_mentions: int) -> Candidates:
        """RETURNS (Candidates): every entity for each mention, by row."""
        rows = self._live(np.arange(self.n_rows, dtype=np.int32))
        offsets = np.arange(n_mentions + 1, dtype=np.int64) * len(rows)
        rows = np.tile(rows, n_mentions)
        return Candidates(rows, offsets, np.full(len(rows), FoundBy.ALL, np.uint8))

    # Features

    def priors(self, mentions: Sequence[str], candidates: Candidates) -> np.ndarray:
        """RETURNS (np.ndarray): probability that the mention means the candidate: the
        prior of the alias, else of the entity, else NaN. Shape: (total,), float32"""
        if not self.meta["priors"]:
            return np.full(len(candidates.rows), np.nan, dtype=np.float32)
        return priors(self.lexicon, mentions, candidates)

    def sort_keys(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """RETURNS (np.ndarray): place of each row's id among all ids in order; breaks
        ties without reading ids. Shape: (len(rows),), int32"""
        return self.lexicon.sort_key[np.asarray(rows, dtype=np.int64)]

    def described(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """RETURNS (np.ndarray): rows with a description. Shape: (len(rows),), bool"""
        return self.lexicon.description_length[np.asarray(rows, dtype=np.int64)] > 0

    # Entities

    def entities(self, rows: Sequence[int] | np.ndarray) -> list[Entity]:
        """RETURNS (list[Entity]): the entities of the given rows."""
        return self.store.entities(_ints(rows))

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """RETURNS (list[str]): the ids of the given rows."""
        return self.store.ids(_ints(rows))

    def titles(self, rows: Sequence[int] | np.ndarray) -> list[tuple[str, str, str]]:
        """RETURNS (list[tuple[str, str, str]]): id, title and description a row."""
        return self.store.titles(_ints(rows))

    def values(self, key: str, rows: Sequence[int] | np.ndarray) -> list[Any]:
        """What entities.jsonl says of entities under one key: what a channel or a
        modality from outside needs of them (coordinates, a date, the path of a
        recording) is written there under a key of one's own, and read here. The last
        ones asked for are kept in memory; the others are read at once.

        key (str): a key that the KB does not know, or id, title, description, prior or
            url.
        rows (Sequence[int] | np.ndarray): rows of entities.
        RETURNS (list[Any]): the JSON value for each row; None where there is none.
        """
        numbers = _ints(rows)
        kept = self._values.setdefault(key, {})
        found = {row: kept[row] for row in numbers if row in kept}
        missing = [row for row in dict.fromkeys(numbers) if row not in found]
        found.update(zip(missing, self.store.values(key, missing)))
        if len(kept) + len(missing) > _KEPT_VALUES:
            self._values[key] = found
        else:
            kept.update(found)
        return [deepcopy(found[row]) for row in numbers]

    def rows_of(self, ids: Sequence[str]) -> np.ndarray:
        """RETURNS (np.ndarray): row of each id, -1 where the KB has none.
        Shape: (len(ids),), int32"""
        return self.store.rows_of(ids)

    def __iter__(self) -> Iterator[Entity]:
        """YIELDS (Entity): all entities, in the order of their rows."""
        return (entity for _, entity in self.store)

    def __contains__(self, name: str) -> bool:
        return bool(self.rows_of([name])[0] >= 0)

    # What spaCy's EntityLinker asks of a KnowledgeBase

    def is_empty(self) -> bool:
        return len(self) == 0

    def get_candidates(self, mention: Span) -> Iterable[Candidate]:
        """RETURNS (Iterable[Candidate]): entities with a name equal to the mention."""
        return next(iter(self.get_candidates_batch([mention])))

    def get_candidates_batch(
        self, mentions: Iterable[Span]
    ) -> Iterable[Iterable[Candidate]]:
        """Entities with a name equal to the mention. spaCy's EntityLinker has no
        measure of how well a name fits, so nearly equal names are left out.

        RETURNS (Iterable[Iterable[Candidate]]): a list a mention.
        """
        texts = [mention.text for mention in mentions]
        found = self.exact(texts)
        ids = self.ids(found.rows)
        priors = np.nan_to_num(self.priors(texts, found)).tolist()
        vectors = self._row_vectors(found.rows)
        strings = self.vocab.strings
        candidates = [
            Candidate(
                kb=self,
                entity_hash=strings.add(ids[pair]),
                entity_freq=priors[pair],
                entity_vector=vectors[pair],
                alias_hash=strings.add(texts[mention]),
                prior_prob=priors[pair],
            )
            for pair, mention in enumerate(found.mentions.tolist())
        ]
        bounds = pairwise(found.offsets.tolist())
        return [candidates[first:last] for first, last in bounds]

    def get_vector(self, entity: str) -> list[float]:
        """RETURNS (list[float]): the description's vector. An entity without one gets a
        vector that favours no direction."""
        return self.get_vectors([entity])[0]

    def get_vectors(self, entities: Iterable[str]) -> list[list[float]]:
        """RETURNS (list[list[float]]): as get_vector, for several ids."""
        ids = list(entities)
        rows = self.rows_of(ids)
        if (rows < 0).any():
            missing = ids[int(np.argmax(rows < 0))]
            raise DweError(Errors.E107.format(id=missing, path=self.path))
        return self._row_vectors(rows)

    def get_entity_strings(self) -> list[str]:
        """RETURNS (list[str]): the ids of all entities; reads the whole KB."""
        return list(self.store.live_ids())

    def to_disk(self, path: str | Path, exclude: Iterable[str] = ()) -> None:
        """Write a small file that refers to this KB; the KB itself is not copied.

        path (str | Path): file to write.
        """
        path = Path(path)
        reference = reference_to(self.path, path.resolve().parent.parent)
        path.write_text(json.dumps({"kb": reference}), encoding="utf-8")

    def from_disk(
        self, path: str | Path, exclude: Iterable[str] = ()
    ) -> "DweKnowledgeBase":
        """Open the KB that a file written by `to_disk` refers to."""
        path = Path(path)
        reference = json.loads(path.read_text(encoding="utf-8"))["kb"]
        saved = path.resolve().parent.parent / reference
        self._reopen(Path(kb_path(str(saved))))
        return self

    def to_bytes(self, **kwargs: Any) -> bytes:
        """RETURNS (bytes): a reference to this KB; the KB itself is not copied."""
        return json.dumps({"kb": str(self.path)}).encode("utf-8")

    def from_bytes(
        self, bytes_data: bytes, *, exclude: tuple[str, ...] = ()
    ) -> "DweKnowledgeBase":
        """Open the KB that `to_bytes` refers to."""
        self._reopen(Path(kb_path(json.loads(bytes_data)["kb"])))
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self.path), self.vocab)

    def __deepcopy__(self, memo: dict[int, Any]) -> "DweKnowledgeBase":
        return type(self)(self.path, self.vocab)

    # Details

    def _exact(self, keys: Sequence[str]) -> Candidates:
        lexicon = self.lexicon
        hashes = text_hashes(keys)
        first = np.searchsorted(lexicon.sorted_hash, hashes, side="left")
        last = np.searchsorted(lexicon.sorted_hash, hashes, side="right")
        found = (
            self._live(lexicon.name_entity[lexicon.sorted_name[a:b]])
            for a, b in zip(first.tolist(), last.tolist())
        )
        return Candidates.from_lists(found, FoundBy.EXACT)

    def _nearest_in(self, name: SetName, device: str) -> "NearestEntities":
        from .vectors.entity_index import NearestEntities

        if (name, device) not in self._dense:
            self._dense[name, device] = NearestEntities(
                self.vector_sets[name],
                live=self._live_rows(),
                sort_key=self.lexicon.sort_key,
                device=device,
            )
        return self._dense[name, device]

    def _live_rows(self) -> np.ndarray | None:
        """RETURNS (np.ndarray | None): rows that are not removed; None = all.
        Shape: (n_rows,), bool"""
        if not len(self.store.removed):
            return None
        live = np.ones(self.n_rows, dtype=bool)
        live[self.store.removed] = False
        return live

    def _live(self, rows: np.ndarray) -> np.ndarray:
        return rows[self._is_live(rows)] if len(self.store.removed) else rows

    def _is_live(self, rows: np.ndarray) -> np.ndarray:
        removed = self.store.removed
        if not len(removed):
            return np.ones(len(rows), dtype=bool)
        places = np.minimum(np.searchsorted(removed, rows), len(removed) - 1)
        return removed[places] != rows

    def _row_vectors(self, rows: np.ndarray) -> list[list[float]]:
        vectors = self._text_vectors
        if vectors is None:
            return [[] for _ in rows]
        found, present = vectors.gather(rows)
        found[~present] = vectors.dim**-0.5
        return [vector.tolist() for vector in found]

    @property
    def _text_vectors(self) -> VectorSet | None:
        return None if self.text_set is None else self.vector_sets[self.text_set]

    def _vector_length(self) -> int:
        vectors = self._text_vectors
        return 0 if vectors is None else vectors.dim

    def _reopen(self, path: Path) -> None:
        self._open(path)
        KnowledgeBase.__init__(self, self.vocab, self._vector_length())


def check_format(path: Path) -> None:
    """RAISES (DweError): a path is no KB, or a damaged one, or was made by a newer
    spacy-dwe."""
    if not (path / META_FILE).is_file():
        found = Errors.E103 if path.exists() else Errors.E001
        raise DweError(found.format(path=path))
    try:
        meta = json.loads((path / META_FILE).read_text(encoding="utf-8"))
        is_newer = meta["format"] > FORMAT
    except (ValueError, KeyError, TypeError):
        reason = "it is no JSON object with a format version"
        raise DweError(
            Errors.E105.format(path=path, file=META_FILE, reason=reason)
        ) from None
    if is_newer:
        raise DweError(
            Errors.E108.format(path=path, found=meta["format"], known=FORMAT)
        )


def _ints(rows: Sequence[int] | np.ndarray) -> list[int]:
    numbers: list[int] = np.asarray(rows, dtype=np.int64).tolist()
    return numbers


def kb_from_path(path: str | None) -> Callable[..., "DweKnowledgeBase"]:
    """Open a KB made by `python -m spacy dwe kb build`. It serves dwe_linker's
    `kb_loader`, and `kb_loader` and `generate_empty_kb` of spaCy's entity_linker.

    path (str | None): the KB's folder; the variable DWE_KB overrides it. None is for
        configs whose user is to name it: opening it is an error.
    RETURNS (Callable[[Vocab], DweKnowledgeBase]): registered as
        spacy-dwe.KBFromPath.v1.
    """

    def load_kb(vocab: Vocab, entity_vector_length: int = 0) -> "DweKnowledgeBase":
        place = kb_path(path or "")
        if not place:
            raise DweError(Errors.E521)
        return DweKnowledgeBase(place, vocab)

    return load_kb
