import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from places.build import build_places
from places.data import Places, read_places

PLACES = Path(__file__).parents[3] / "assets" / "places" / "places.jsonl"

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
