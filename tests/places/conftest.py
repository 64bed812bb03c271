import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from places.build import build_places
from places.data import Places, read_places
from spacy_dwe.building.build import build_kb
from spacy_dwe.kb.entity import Alias, Entity

PLACES = Path(__file__).parents[2] / "assets" / "places" / "places.jsonl"

ENTITIES = [
    Entity("Q1", "Georgia", "country at the Black Sea", (Alias("Sakartvelo"),)),
    Entity("Q2", "Georgia", "state of the United States"),
    Entity("Q3", "Samoa", "island country in Polynesia"),
]

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def places_jsonl() -> Path:
    return PLACES


@pytest.fixture(scope="session")
def places() -> Places:
    return read_places(PLACES)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the sample, as the command writes it."""
    out = tmp_path_factory.mktemp("sample") / "corpus"
    build_places(PLACES, out, scale=0.1)
    return out


@pytest.fixture(scope="session")
def rows(corpus: Path) -> Rows:
    """The records of one of its files."""

    def read(stem: str) -> list[dict[str, Any]]:
        lines = (corpus / f"{stem}.jsonl").read_text("utf8").splitlines()
        return [json.loads(line) for line in lines]

    return read


@pytest.fixture(scope="session")
def kb_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a KB of a few places, without any vectors."""
    path = tmp_path_factory.mktemp("kb") / "places.kb"
    build_kb(ENTITIES, path)
    return path
