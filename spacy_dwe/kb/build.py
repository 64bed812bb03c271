"""Building a KnowledgeBase: all of it appears at once, or nothing does."""

import glob
import json
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..errors import DweError, Errors
from .entity import Entity
from .knowledge_base import FORMAT, META_FILE, NAMES_FOLDER, DweKnowledgeBase
from .lexical import LexiconBuilder
from .names import FOLDER as INDEX_FOLDER
from .names import NamesWriter
from .store import FILE_NAME, StoreWriter, Version, is_locked
from .vectors import FOLDER as VECTORS_FOLDER

if TYPE_CHECKING:
    from ..encoders.base import TextEncoder
    from .encode import TextAndImageEncoder

_BATCH = 512
_BAR_DELAY = 0.5
"""Seconds before the progress bar shows; a mistake in the first lines comes sooner."""


def build_kb(
    entities: Iterable[Entity],
    out: str | Path,
    *,
    text_encoder: "TextEncoder | None" = None,
    clip: "TextAndImageEncoder | None" = None,
    image_root: str | Path | None = None,
    overwrite: bool = False,
    total: int | None = None,
    show_progress: bool = False,
) -> DweKnowledgeBase:
    """Build a KB from entities. It is made in a folder beside `out` and put in place
    when it is complete.

    entities (Iterable[Entity]): the entities, read once; ids are distinct.
    out (str | Path): the KB's folder.
    text_encoder (TextEncoder | None): makes the vectors of description@text.
    clip (TextAndImageEncoder | None): makes the vectors of description@clip and
        image@clip.
    image_root (str | Path | None): folder that pictures' paths are relative to; None
        means the current one.
    overwrite (bool): replace a KB that is there. Readers keep the old one until they
        open it again.
    total (int | None): how many entities there are, for the progress bar.
    show_progress (bool): show a progress bar on stderr.
    RETURNS (DweKnowledgeBase): the new KB, opened.
    """
    out = Path(out).expanduser().absolute()
    _check_output(out, overwrite)
    if total is None and isinstance(entities, Sized):
        total = len(entities)
    generation = secrets.token_hex(4)
    draft = out.parent / f".{out.name}.{generation}.draft"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
    except OSError as error:
        raise DweError(
            Errors.E006.format(path=out, reason=error.strerror or error)
        ) from None
    _remove_abandoned(out)
    try:
        with tqdm(
            total=total, unit=" entities", delay=_BAR_DELAY, disable=not show_progress
        ) as progress:
            _Draft(draft, generation, text_encoder, clip, image_root).write(
                entities, out, progress
            )
        _publish(draft, out, generation)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return DweKnowledgeBase(out)


class _Draft:
    """A KB in the making."""

    def __init__(
        self,
        path: Path,
        generation: str,
        text_encoder: "TextEncoder | None",
        clip: "TextAndImageEncoder | None",
        image_root: str | Path | None,
    ) -> None:
        self.path, self.generation = path, generation
        self.vectors = None
        if text_encoder is not None or clip is not None:
            from .encode import VectorBuilder

            self.vectors = VectorBuilder(
                path,
                generation,
                text_encoder=text_encoder,
                clip=clip,
                image_root=Path(image_root or "."),
            )

    def write(self, entities: Iterable[Entity], out: Path, progress: Any) -> None:
        lexicon = LexiconBuilder()
        ids: set[str] = set()
        with StoreWriter(self.path) as store:
            for batch in _batches(entities, _BATCH):
                _check_distinct(batch, ids)
                store.add(batch, version=1)
                lexicon.add(batch)
                if self.vectors is not None:
                    self.vectors.add(batch)
                progress.update(len(batch))
            if not ids:
                raise DweError(Errors.E111.format(path=out))
            meta = self._write_names(lexicon)
            meta["vectors"] = {} if self.vectors is None else self.vectors.finish()
            store.commit(Version(1, self.generation, meta))
        text = json.dumps(meta, indent=2, ensure_ascii=False)
        (self.path / META_FILE).write_text(text + "\n", encoding="utf-8")

    def _write_names(self, builder: LexiconBuilder) -> dict[str, Any]:
        folder = self.path / NAMES_FOLDER / self.generation
        names = NamesWriter(folder / INDEX_FOLDER)
        names.add(0, builder.keys)
        names.commit()
        lexicon = builder.build()
        lexicon.save(folder)
        return {
            "format": FORMAT,
            "version": 1,
            "entities": lexicon.n_rows,
            "rows": lexicon.n_rows,
            "names": len(builder.keys),
            "descriptions": lexicon.n_described,
            "priors": lexicon.has_priors,
        }


def _check_output(out: Path, overwrite: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not (out / META_FILE).is_file() or not (out / FILE_NAME).is_file():
        raise DweError(Errors.E110.format(path=out))
    if not overwrite:
        raise DweError(Errors.E109.format(path=out))


def _remove_abandoned(out: Path) -> None:
    """Remove what builds of the same KB left when they were killed. A build that is
    alive holds the lock of its database."""
    for draft in out.parent.glob(f".{glob.escape(out.name)}.*.draft"):
        if (draft / FILE_NAME).is_file() and not is_locked(draft):
            shutil.rmtree(draft, ignore_errors=True)


def _check_distinct(entities: list[Entity], known: set[str]) -> None:
    for entity in entities:
        if entity.id in known:
            raise DweError(Errors.E112.format(id=entity.id))
        known.add(entity.id)


def _publish(draft: Path, out: Path, generation: str) -> None:
    if not out.exists():
        draft.rename(out)
        return
    # The new files lie beside the old ones until SQLite's file, which names those that
    # count, is replaced: a kill before leaves the old KB, a kill after the new one.
    for folder in (NAMES_FOLDER, VECTORS_FOLDER):
        (out / folder).mkdir(exist_ok=True)
        for item in sorted((draft / folder).glob("*")):
            item.rename(out / folder / item.name)
    (draft / FILE_NAME).replace(out / FILE_NAME)
    (draft / META_FILE).replace(out / META_FILE)
    for folder in (NAMES_FOLDER, VECTORS_FOLDER):
        for item in (out / folder).iterdir():
            if generation not in item.name:
                _remove(item)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _batches(entities: Iterable[Entity], size: int) -> Iterator[list[Entity]]:
    iterator = iter(entities)
    while batch := list(islice(iterator, size)):
        yield batch
