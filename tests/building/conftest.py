import pytest
from small_kb import ENTITIES


@pytest.fixture(scope="session")
def entities():
    return ENTITIES
