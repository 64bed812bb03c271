"""Which saved pipelines carry the optimizer's state."""

import pytest

from spacy_dwe.training.state import OPTIMIZER_FILE, read_optimizer, write_optimizer


@pytest.fixture
def file_in(tmp_path):
    def make(pipeline):
        folder = tmp_path / pipeline / "dwe_linker"
        folder.mkdir(parents=True)
        return folder / OPTIMIZER_FILE

    return make


def test_only_model_last_has_it(file_in):
    last, other = file_in("model-last"), file_in("package")
    for path in (last, other):
        write_optimizer(path, lambda: b"moments")
    assert read_optimizer(last) == b"moments"
    assert not other.exists() and read_optimizer(other) == b""


def test_the_copy_that_spacy_makes_is_cleared_by_the_next_save(file_in):
    last, best = file_in("model-last"), file_in("model-best")
    write_optimizer(last, lambda: b"first")
    best.write_bytes(last.read_bytes())
    write_optimizer(last, lambda: b"second")
    assert read_optimizer(last) == b"second"
    assert not best.exists()


@pytest.mark.parametrize("pipeline", ["model-last", "moved"])
def test_a_state_does_not_stay_beside_other_weights(file_in, pipeline):
    path = file_in(pipeline)
    path.write_bytes(b"of an earlier run")
    write_optimizer(path, lambda: b"")
    assert not path.exists()


def test_a_relative_path_is_known_too(file_in, monkeypatch):
    path = file_in("model-last")
    monkeypatch.chdir(path.parent)
    write_optimizer(path.relative_to(path.parent), lambda: b"moments")
    assert read_optimizer(path) == b"moments"
