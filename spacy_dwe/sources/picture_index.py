"""The index of a folder of fetched pictures: what was asked for, and what became of
it. It lies in the folder, so that whoever fetches into it asks nothing twice."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import Errors
from .answers import AnswerFile, packed
from .commons import MAX_FILES, WikiFile
from .downloads import site_of
from .wikipedia_pages import next_batch

FILE_NAME = "index.sqlite"

_TABLES = """
CREATE TABLE files (
    wiki TEXT, name TEXT, width INTEGER, answer TEXT NOT NULL,
    PRIMARY KEY (wiki, name, width)
) WITHOUT ROWID;
CREATE TABLE pictures (url TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID
"""
_WANTED = """
CREATE TEMP TABLE wanted_files (
    wiki TEXT, name TEXT, PRIMARY KEY (wiki, name)
) WITHOUT ROWID;
CREATE TEMP TABLE wanted (
    number INTEGER PRIMARY KEY, url TEXT UNIQUE, site TEXT
);
CREATE INDEX temp.by_site ON wanted (site, number)
"""


class PictureIndex(AnswerFile):
    """Answers about wikis' files and about pictures, and what this run wants.

    folder (Path): with the pictures.
    width (int): of pictures of wikis' files.
    """

    tables = _TABLES
    application = 0x64776570
    in_use, unreadable = Errors.E271, Errors.E272

    def __init__(self, folder: Path, width: int) -> None:
        super().__init__(folder / FILE_NAME)
        self.folder, self.width = folder, width
        for statement in _WANTED.split(";"):
            self._db.execute(statement)

    def file(self, file: WikiFile) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): what its wiki said of a file."""
        query = "SELECT answer FROM files WHERE wiki=? AND name=? AND width=?"
        return self._one(query, (*file, self.width))

    def picture(self, url: str) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): the "file" that a URL gave, or the "reason"
        why it gave none; None if it was not asked."""
        return self._one("SELECT answer FROM pictures WHERE url=?", (url,))

    def put_files(self, wiki: str, answers: Mapping[str, Mapping[str, Any]]) -> None:
        rows = [(wiki, name, self.width, packed(a)) for name, a in answers.items()]
        with self._writing() as db:
            db.executemany("REPLACE INTO files VALUES (?, ?, ?, ?)", rows)

    def put_picture(self, url: str, answer: Mapping[str, Any]) -> None:
        with self._writing() as db:
            db.execute("REPLACE INTO pictures VALUES (?, ?)", (url, packed(answer)))

    def want(self, pictures: Iterable[WikiFile | str], refresh: bool) -> None:
        """Note which files and URLs are wanted.

        refresh (bool): forget what is known of them.
        """
        with self._writing() as db:
            for picture in pictures:
                if isinstance(picture, WikiFile):
                    db.execute(
                        "INSERT OR IGNORE INTO wanted_files VALUES (?, ?)", picture
                    )
                else:
                    self._want_url(picture, refresh)
            if refresh:
                db.execute(
                    "DELETE FROM files WHERE width=? AND (wiki, name) IN "
                    "(SELECT wiki, name FROM wanted_files)",
                    (self.width,),
                )

    def want_pictures_of_files(self, refresh: bool) -> None:
        """Want the pictures that the wikis said wanted files have."""
        with self._writing() as db:
            rows = db.execute("SELECT wiki, name FROM wanted_files")
            for row in rows:
                answer = self.file(WikiFile(*row))
                if answer is not None and "url" in answer:
                    self._want_url(answer["url"], refresh)

    def batches_to_ask(self) -> Iterator[tuple[str, list[str]]]:
        """YIELDS (tuple[str, list[str]]): a wiki and names of wanted files of which it
        said nothing yet, as many as fit into a request."""
        query = (
            "SELECT w.wiki, w.name FROM wanted_files w LEFT JOIN files f "
            "ON f.wiki = w.wiki AND f.name = w.name AND f.width = ? "
            "WHERE f.name IS NULL AND (w.wiki, w.name) > (?, ?) "
            "ORDER BY w.wiki, w.name LIMIT ?"
        )
        last = ("", "")
        while rows := self._db.execute(
            query, (self.width, *last, MAX_FILES)
        ).fetchall():
            wiki = rows[0][0]
            names = [name for found, name in rows if found == wiki]
            batch = next_batch(names, MAX_FILES)
            last = (wiki, batch[-1])
            yield wiki, batch

    def n_to_ask(self) -> int:
        """RETURNS (int): wanted files of which their wikis said nothing yet."""
        query = (
            "SELECT count(*) FROM wanted_files w WHERE NOT EXISTS (SELECT 1 FROM files "
            "f WHERE f.wiki = w.wiki AND f.name = w.name AND f.width = ?)"
        )
        (n,) = self._db.execute(query, (self.width,)).fetchone()
        return int(n)

    def wikis_to_ask(self) -> list[str]:
        """RETURNS (list[str]): the wikis of wanted files."""
        rows = self._db.execute("SELECT DISTINCT wiki FROM wanted_files")
        return [wiki for (wiki,) in rows]

    def sites(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): wanted URLs that each site is to be asked for."""
        return dict(self._db.execute("SELECT site, count(*) FROM wanted GROUP BY site"))

    def next_of(self, site: str, after: int) -> tuple[int, str] | None:
        """RETURNS (tuple[int, str] | None): the next wanted URL of a site, and its
        number, which is greater than `after`."""
        row: tuple[int, str] | None = self._db.execute(
            "SELECT number, url FROM wanted WHERE site=? AND number>? "
            "ORDER BY number LIMIT 1",
            (site, after),
        ).fetchone()
        return row

    def _want_url(self, url: str, refresh: bool) -> None:
        if refresh or not self._is_settled(url):
            self._db.execute(
                "INSERT OR IGNORE INTO wanted (url, site) VALUES (?, ?)",
                (url, site_of(url)),
            )

    def _is_settled(self, url: str) -> bool:
        known = self.picture(url)
        if known is None or known.get("may_pass"):
            return False
        return "file" not in known or (self.folder / known["file"]).is_file()
