"""What pictures say for candidates, in every space that there is."""

import numpy as np
import pytest

from spacy_dwe.channels.image import A_DEVIATION, ImageChannel
from spacy_dwe.kb.candidates import Candidates
from spacy_dwe.kb.vectors.sets import SetName, VectorSet
from spacy_dwe.kb.vectors.standard import SUREST, PictureScale

ONE, OTHER = SetName("image", "one"), SetName("image", "other")
COLUMNS = list(ImageChannel.columns)


def turned(*degrees):
    """Unit vectors of a plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def vector_set(name, *pictures, scale=None):
    """A set of entities whose pictures lie at some degrees."""
    counts = [len(own) for own in pictures]
    return VectorSet(
        name=name,
        fingerprint="plane",
        spec={},
        dim=2,
        mean=0.1,
        std=0.2,
        cross_mean=None,
        cross_std=None,
        array=turned(*(degree for own in pictures for degree in own)).astype("float16"),
        offsets=np.cumsum([0, *counts]).astype(np.int32),
        places=np.arange(sum(counts), dtype=np.int32),
        scale=scale,
    )


class Album:
    """A KB of vectors alone, and mentions that have pictures in its spaces; a picture
    is a view, or a tuple of several."""

    texts = contexts = ("", "")
    owns_pictures = (False, False)

    def __init__(self, *sets, pictures):
        self.vector_sets = {each.name: each for each in sets}
        self.picture_spaces = tuple(each.name.space for each in sets)
        self._pictures = pictures

    def picture_views(self, space):
        views = [
            [picture if isinstance(picture, tuple) else (picture,) for picture in own]
            for own in self._pictures
        ]
        return [[turned(*picture) for picture in own] for own in views]

    def columns(self, *rows):
        """RETURNS (dict): values by column, NaN for what is missing.
        Shape of each: (2, n_rows)"""
        candidates = Candidates.from_lists([np.array(rows)] * 2)
        values, there = ImageChannel().compute(self, candidates, self)
        values = np.where(there, values, np.nan).reshape(2, len(rows), -1)
        return {name: values[..., i] for i, name in enumerate(COLUMNS)}


def test_the_nearest_of_an_entitys_pictures_counts():
    kb = Album(vector_set(ONE, [0, 90], [45]), pictures=([80], [80, 45]))
    said = kb.columns(0, 1)["picture_picture"]
    expected = (np.cos(np.radians([[10, 35], [10, 0]])) - 0.1) / 0.2
    np.testing.assert_allclose(said, expected, atol=0.01)


def test_entities_and_mentions_without_pictures_are_missing():
    kb = Album(vector_set(ONE, [0], []), pictures=([0], []))
    for name in ("picture_picture", "shown"):
        assert np.isnan(kb.columns(0, 1)[name][:, 1]).all()
        assert np.isnan(kb.columns(0, 1)[name][1]).all()


def test_spaces_are_averaged_where_they_tell():
    kb = Album(
        vector_set(ONE, [0], [0], [60]),
        vector_set(OTHER, [60], [], [0]),
        pictures=([0], [0]),
    )
    said = kb.columns(0, 1, 2)["picture_picture"][0]
    near, far = (1 - 0.1) / 0.2, (0.5 - 0.1) / 0.2
    np.testing.assert_allclose(
        said, [(near + far) / 2, near, (near + far) / 2], rtol=0.01
    )


SCALE = PictureScale(slope=10.0, centre=0.5)


def test_what_the_kbs_own_pictures_tell_is_said_in_logits():
    kb = Album(vector_set(ONE, [0], [60], scale=SCALE), pictures=([0], [60]))
    columns = kb.columns(0, 1)
    expected = SCALE(np.array([[1, 0.5], [0.5, 1]]))
    np.testing.assert_allclose(
        columns["picture_picture"], expected / A_DEVIATION, atol=0.02
    )


def test_a_picture_that_shows_another_entity_better_shows_none_of_the_candidates():
    """The third entity is no candidate; the picture is its own."""
    kb = Album(vector_set(ONE, [0], [40], [80], scale=SCALE), pictures=([20], [80]))
    shown = kb.columns(0, 1)["shown"]
    cosine = np.cos(np.radians(20))
    np.testing.assert_allclose(shown[0], SCALE(np.array([cosine] * 2)), atol=0.03)
    assert shown[1, 1] < shown[0, 1] - 1
    assert shown[1, 1] == pytest.approx(
        SCALE(np.cos(np.radians([40])))[0] + 10 * (np.cos(np.radians(40)) - 1), abs=0.05
    )
    assert shown[1, 0] == -SUREST


def test_another_picture_of_the_same_entity_is_no_other_entity():
    kb = Album(vector_set(ONE, [0, 1], [90], scale=SCALE), pictures=([0], [0]))
    shown = kb.columns(0)["shown"]
    np.testing.assert_allclose(shown, SCALE(np.ones((2, 1))), atol=0.02)


def test_the_best_of_several_views_counts_less_than_one_alone():
    kb = Album(vector_set(ONE, [0], [60], scale=SCALE), pictures=([0], [(60, 0, 90)]))
    columns = kb.columns(0, 1)
    alone, of_three = columns["picture_picture"][0, 0], columns["picture_picture"][1, 0]
    assert alone - of_three == pytest.approx(np.log(3) / A_DEVIATION, abs=1e-5)
    assert columns["shown"][0, 0] - columns["shown"][1, 0] == pytest.approx(
        np.log(3), abs=1e-5
    )
