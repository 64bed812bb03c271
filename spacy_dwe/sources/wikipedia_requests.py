"""Asking a MediaWiki for titles until each is in the cache. A run that was stopped
asks nothing twice."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import BAR_DELAY, DweError, Errors, Warnings
from .answers import AnswerFile, packed
from .mediawiki import MediaWiki
from .patience import NoAnswer, Refused
from .wikipedia_pages import AskedTitle, ask, next_batch

_MOST_HOPS = 5
"""From wiki to wiki, before a title is given up."""

_TABLES = """
CREATE TABLE titles (
    source TEXT, language TEXT, title TEXT, answer TEXT NOT NULL,
    PRIMARY KEY (source, language, title)
) WITHOUT ROWID;
CREATE TABLE pages (
    source TEXT, language TEXT, pageid INTEGER, page TEXT NOT NULL,
    PRIMARY KEY (source, language, pageid)
);
"""


class TitleRequests:
    """Asks for titles until each has an answer in the cache."""

    def __init__(
        self, wiki: MediaWiki, cache: "PageCache", language: str, show_progress: bool
    ) -> None:
        self.wiki, self.cache, self.language = wiki, cache, language
        self.show_progress = show_progress
        self._queues: dict[str, dict[str, None]] = {}
        self._warned: set[str] = set()

    def ask_for(self, asked: list[AskedTitle], image_width: int) -> None:
        """RAISES (DweError): the wiki does not answer any more."""
        titles = dict.fromkeys((a.language, a.title) for a in asked if not a.problem)
        for title in titles:
            self._queue(*title)

        def done() -> int:
            return len(titles) - sum(map(len, self._queues.values()))

        show = self.show_progress
        with _asking(self.wiki, self.cache, len(titles), done, show) as bar:
            self._ask_queues(image_width, bar)

    def _ask_queues(self, image_width: int, bar: Any) -> None:
        while self._queues:
            language, queue = next(iter(self._queues.items()))
            if not queue:
                del self._queues[language]
                continue
            batch = next_batch(queue)
            said = ask(self.wiki, language, batch, image_width)
            self.cache.put(language, said.titles, said.pages)
            bar.set_postfix_str("")
            self._warn(language, said.warnings)
            answers = said.titles | self._same_prefixes(language, said.titles)
            for title, answer in answers.items():
                del queue[title]
                moved = "language" in answer
                if not (moved and self._queue(answer["language"], answer["title"])):
                    bar.update()

    def _queue(self, language: str, title: str) -> bool:
        """RETURNS (bool): whether there is something to ask that was not before."""
        for link, answer in follow(self.cache, (language, title)):
            if answer is None and self._is_served(link[0]):
                queue = self._queues.setdefault(link[0], {})
                new = link[1] not in queue
                queue[link[1]] = None
                return new
            if answer is None:
                reason = f"a page of another wiki, {link[0]}.wikipedia.org"
                elsewhere = {"left_out": "other", "reason": reason}
                self.cache.put(link[0], {link[1]: elsewhere})
        return False

    def _is_served(self, language: str) -> bool:
        return language == self.language or "{lang}" in self.wiki.api_url

    def _same_prefixes(
        self, language: str, answers: dict[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Once the wiki said that `de:Georgien` is a page of another Wikipedia, all
        titles that start with `de:` are."""
        learned = {
            _prefix(title): answer["language"]
            for title, answer in answers.items()
            if "language" in answer and _prefix(title)
        }
        if not learned:
            return {}
        moved = {
            title: {"language": learned[_prefix(title)], "title": _rest(title)}
            for title in self._queues[language]
            if title not in answers and _prefix(title) in learned and _rest(title)
        }
        self.cache.put(language, moved)
        return moved

    def _warn(self, language: str, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._warned:
                self._warned.add(problem)
                message = Warnings.W122.format(wiki=language, warning=problem)
                warnings.warn(message, stacklevel=2)


def follow(
    cache: "PageCache", title: AskedTitle | tuple[str, str]
) -> Iterator[tuple[tuple[str, str], dict[str, Any] | None]]:
    """Follow a title from wiki to wiki.

    YIELDS (tuple): language and title, and the answer; None if it was not asked.
    """
    if isinstance(title, AskedTitle):
        title = (title.language, title.title)
    for _ in range(_MOST_HOPS):
        answer = cache.answer(*title)
        yield title, answer
        if answer is None or "language" not in answer:
            return
        title = (answer["language"], answer["title"])


def _prefix(title: str) -> str:
    return title.partition(":")[0].strip().lower() if ":" in title else ""


def _rest(title: str) -> str:
    return title.partition(":")[2].strip()


@contextmanager
def _asking(
    wiki: MediaWiki,
    cache: "PageCache",
    total: int,
    done: Callable[[], int],
    show_progress: bool,
) -> Iterator[tqdm]:
    """A bar that says what is waited for; if there is no answer any more, the error
    says what is kept, and how to go on."""
    with tqdm(
        total=total,
        initial=done(),
        unit=" titles",
        delay=BAR_DELAY,
        disable=not show_progress,
    ) as bar:
        wiki.patience.on_wait = lambda reason, seconds: bar.set_postfix_str(
            f"waiting {seconds:.0f} s: {reason}"
        )
        try:
            yield bar
        except NoAnswer as error:
            message = Errors.E126 if isinstance(error, Refused) else Errors.E122
            kept = f"{done():,} of {total:,} titles"
            text = message.format(**vars(error), done=kept, cache=cache.path)
            raise DweError(text) from None


class PageCache(AnswerFile):
    """Answers by language and title.

    path (str | Path): the SQLite file, made if need be.
    source (str): who was asked, and how: other answers of the file are not seen.
    """

    tables = _TABLES
    application = 0x64776577
    in_use, unreadable = Errors.E124, Errors.E123

    def __init__(self, path: str | Path, source: str) -> None:
        super().__init__(path)
        self.source = source

    def answer(self, language: str, title: str) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): what was said of a title; None if it was not
        asked."""
        query = "SELECT answer FROM titles WHERE source=? AND language=? AND title=?"
        return self._one(query, (self.source, language, title))

    def page(self, language: str, pageid: int) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): a page that an answer names."""
        query = "SELECT page FROM pages WHERE source=? AND language=? AND pageid=?"
        page = self._one(query, (self.source, language, pageid))
        if page is None:
            raise self._error(f"it lacks the page {pageid}")
        return page

    def put(
        self,
        language: str,
        answers: Mapping[str, Mapping[str, Any]],
        pages: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Keep answers by title, and the pages they name: all of them or none."""
        with self._writing() as db:
            db.executemany(
                "REPLACE INTO pages VALUES (?, ?, ?, ?)",
                [(self.source, language, p["pageid"], packed(p)) for p in pages],
            )
            db.executemany(
                "REPLACE INTO titles VALUES (?, ?, ?, ?)",
                [(self.source, language, t, packed(a)) for t, a in answers.items()],
            )

    def forget(self, titles: Iterable[tuple[str, str]]) -> None:
        """Forget what was said of titles, each with its language."""
        query = "DELETE FROM titles WHERE source=? AND language=? AND title=?"
        with self._writing() as db:
            db.executemany(query, [(self.source, *title) for title in titles])
