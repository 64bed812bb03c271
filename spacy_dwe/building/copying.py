"""Copies of a KB that hold elsewhere: its files, and the encoders that its vectors were
made with."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import closing
from pathlib import Path
from typing import Any

from ..encoders.registry import INSIDE, encoder_paths, spec_from, with_encoder_paths
from ..errors import DweError, Errors
from ..files import write_json
from ..kb.knowledge_base import DweKnowledgeBase
from ..kb.storage.folder import database_of, write_meta
from ..kb.storage.manifest import file_record
from ..kb.storage.store import EntityStore, Version
from ..kb.vectors.files import files_of

ENCODERS = "encoders"
"""Folder below a KB for the encoders that it carries."""

Progress = Callable[[int], None]
"""Called with the number of bytes just copied."""

# Weights for other frameworks, which lie beside torch's in many downloads.
_FOREIGN = ("tf_model.h5", "flax_model.msgpack", "rust_model.ot", "onnx", "openvino")
_SAFETENSORS = "model.safetensors"
_OLDER_WEIGHTS = "pytorch_model.bin"


def copy_kb(source: Path, target: Path, progress: Progress | None = None) -> int:
    """Copy a KB's last version, but for the encoders that it carries. Others may change
    the KB meanwhile.

    source (Path): the KB's folder.
    target (Path): the copy's, which does not exist.
    progress (Callable | None): called with the bytes of each file.
    RETURNS (int): bytes copied.
    RAISES (DweError): the KB is damaged.
    """
    tried = None
    while True:
        target.mkdir(parents=True)
        database = database_of(source)
        n_bytes = _copy_database(database, target / database.name, progress)
        version, files = _last_version(target)
        try:
            for file in files:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                n_bytes += _copy_file(source / file, target / file, progress)
        except FileNotFoundError:
            # A writer has removed what it had replaced, unless it is simply not there.
            if version == tried:
                raise DweError(Errors.E104.format(path=source, file=file)) from None
            tried = version
            shutil.rmtree(target)
            continue
        write_meta(target, version.meta, database.name)
        DweKnowledgeBase(target)
        return n_bytes


def copy_tree(
    source: Path,
    target: Path,
    skip: Set[Path] = frozenset(),
    progress: Progress | None = None,
) -> int:
    """Copy a folder but for hidden files, which `spacy package` would leave behind.
    Links are followed; permissions are those of new files.

    source (Path): the folder.
    target (Path): the copy's, made if need be.
    skip (Set[Path]): files and folders to leave out.
    progress (Callable | None): called with the bytes of each file.
    RETURNS (int): bytes copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    n_bytes = 0
    for item in sorted(source.iterdir()):
        if item.name.startswith(".") or not skip.isdisjoint((item, item.resolve())):
            continue
        copy = target / item.name
        if item.is_dir():
            n_bytes += copy_tree(item, copy, skip, progress)
        else:
            n_bytes += _copy_file(item, copy, progress)
    return n_bytes


def vector_specs(kb: DweKnowledgeBase) -> dict[str, dict[str, Any]]:
    """RETURNS (dict[str, dict[str, Any]]): the encoder's config block of each vector
    set, with the place of an encoder that the KB carries."""
    sets = kb.meta["vectors"]
    return {name: spec_from(meta["spec"], kb.path) for name, meta in sets.items()}


class EncoderCopies:
    """The encoders that a copy of a KB carries."""

    def __init__(self, kb: Path, progress: Progress | None = None) -> None:
        """kb (Path): the copy's folder.
        progress (Callable | None): called with the bytes of each file.
        """
        self._kb = kb
        self._progress = progress
        self._names: dict[Path, str] = {}
        self.sizes: dict[Path, int] = {}

    def add(self, path: Path) -> str:
        """Copy an encoder, if it has not been.

        path (Path): its folder, or file of weights.
        RETURNS (str): path that config blocks of the copy name it by.
        """
        path = path.resolve()
        if path not in self._names:
            name = self._new_name(path)
            target = self._kb / ENCODERS / name
            if path.is_dir():
                skip = set(_superfluous(path))
                size = copy_tree(path, target, skip, self._progress)
            else:
                target.parent.mkdir(exist_ok=True)
                size = _copy_file(path, target, self._progress)
            self._names[path], self.sizes[path] = name, size
        return f"{INSIDE}{ENCODERS}/{self._names[path]}"

    def _new_name(self, path: Path) -> str:
        taken = set(self._names.values())
        name, number = path.name, 1
        while name in taken:
            number += 1
            name = f"{path.stem}-{number}{path.suffix}"
        return name


def carry_encoders(
    specs: Mapping[str, Mapping[str, Any]], copies: EncoderCopies, kb: Path
) -> dict[str, dict[str, Any]]:
    """Copy the encoders that lie in a folder or file.

    specs (Mapping): the config block of each vector set.
    copies (EncoderCopies): of the copied KB.
    kb (Path): the KB that is copied, to name in an error.
    RETURNS (dict[str, dict[str, Any]]): the config blocks for the copy.
    RAISES (DweError): an encoder is not there.
    """
    carried = {}
    for name, spec in specs.items():
        paths = encoder_paths(spec, None)
        for path in paths.values():
            if not path.exists():
                raise DweError(Errors.E157.format(path=path, kb=kb))
        copied = {key: copies.add(path) for key, path in paths.items()}
        carried[name] = with_encoder_paths(spec, copied)
    return carried


def write_specs(kb: Path, specs: Mapping[str, Mapping[str, Any]]) -> None:
    """Change the encoders' config blocks in a KB's last version.

    kb (Path): the KB's folder; nothing reads it.
    specs (Mapping): the new config block of each vector set.
    """
    path = database_of(kb)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        number, text = database.execute(
            "SELECT version, meta FROM versions ORDER BY version DESC LIMIT 1"
        ).fetchone()
        meta = json.loads(text)
        for name, spec in specs.items():
            entry = meta["vectors"][name]
            entry["spec"] = dict(spec)
            header, *_ = files_of(entry)
            written = json.loads((kb / header).read_text(encoding="utf-8"))
            write_json(kb / header, {**written, "spec": dict(spec)})
            record = file_record(kb, header)
            database.execute(
                "UPDATE files SET bytes = ?, checksum = ? WHERE path = ?",
                (record.n_bytes, record.checksum, header),
            )
        database.execute(
            "UPDATE versions SET meta = ? WHERE version = ?",
            (json.dumps(meta, ensure_ascii=False), number),
        )
        database.execute("COMMIT")
    write_meta(kb, meta, path.name)


def _copy_database(source: Path, target: Path, progress: Progress | None) -> int:
    """Copy what is committed, whatever is being written."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
    size = target.stat().st_size
    if progress is not None:
        progress(size)
    return size


def _last_version(kb: Path) -> tuple[Version, list[str]]:
    """RETURNS (tuple[Version, list[str]]): the last version, and its files."""
    with closing(EntityStore(kb)) as store:
        version = store.version
        files = {record.path for record in store.files()}
    for entry in version.meta["vectors"].values():
        files.update(files_of(entry))
    return version, sorted(files)


def _copy_file(source: Path, target: Path, progress: Progress | None) -> int:
    shutil.copyfile(source, target)
    size = target.stat().st_size
    if progress is not None:
        progress(size)
    return size


def _superfluous(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in _FOREIGN)
    if (folder / _SAFETENSORS).is_file():
        yield folder / _OLDER_WEIGHTS
