import numpy as np
import pytest

from spacy_dwe.errors import DweError
from spacy_dwe.kb.arrays import ArrayWriter, map_array


@pytest.fixture
def file(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", np.float32, (2,)) as writer:
        writer.append(np.zeros((5, 2)))
    return tmp_path / "a.npy"


def test_an_array_grows_where_it_lies(file):
    reader = map_array(file.parent, file.name)
    with ArrayWriter(file, np.float32, (2,), length=5) as writer:
        writer.append(np.ones((3, 2)))
    assert len(reader) == 5
    assert np.load(file)[:, 0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert len(map_array(file.parent, file.name, 5)) == 5


def test_what_a_killed_writer_left_is_cut_off(file):
    killed = ArrayWriter(file, np.float32, (2,), length=5)
    killed.append(np.full((90, 2), 7))
    killed.flush()
    killed.abandon()
    again = ArrayWriter(file, np.float32, (2,), length=5)
    reader = map_array(file.parent, file.name)
    assert len(reader) == 5, "there is no moment at which it cannot be read"
    again.append(np.ones((1, 2)))
    again.close()
    assert np.load(file)[:, 0].tolist() == [0, 0, 0, 0, 0, 1]


def test_a_file_shorter_than_its_version_is_damaged(file):
    with pytest.raises(DweError, match="5 entries where 6 belong"):
        map_array(file.parent, file.name, 6)


@pytest.mark.parametrize("at", range(0, 128, 5))
def test_a_damaged_header_is_one_line(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.write_bytes(data)
    try:
        map_array(file.parent, file.name)
    except DweError as error:
        assert "a.npy cannot be read" in str(error)
