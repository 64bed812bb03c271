import pytest
from small_kb import ENTITIES, build


@pytest.fixture(scope="session")
def entities():
    return ENTITIES


@pytest.fixture(scope="session")
def kb(tmp_path_factory):
    """A KB with vectors, opened once; tests only read it."""
    return build(tmp_path_factory.mktemp("kb"))
