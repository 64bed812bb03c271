import pytest

from spacy_dwe.channels import name as features
from spacy_dwe.errors import DweError
from spacy_dwe.model import spec as channels
from spacy_dwe.model.spec import CHANNELS, FeatureLayout, check_channels


def test_columns_stand_in_the_order_of_the_channels():
    layout = FeatureLayout.of(["dwe", "image", "name"], ["image@clip"])
    assert layout.channels == ("name", "image", "dwe")
    together = [i for channel in layout.channels for i in layout.columns(channel)]
    assert together == list(range(len(layout)))
    assert layout.names[-1] == ("dwe", "image@clip")
    assert layout.columns("text") == []


def test_the_dwe_channel_has_a_column_for_each_vector_set():
    assert FeatureLayout.of(["dwe"]).channels == ()
    sets = ("description@text", "description@clip")
    layout = FeatureLayout.of(CHANNELS, sets)
    assert len(layout.columns("dwe")) == 2
    assert len(layout.untrained_weights()) == len(layout)


def test_the_kb_makes_the_features_that_the_channels_weigh():
    # Neither may import the other.
    assert channels.NAME_FEATURES == features.NAME_FEATURES
    assert channels.FACT_FEATURES == features.FACT_FEATURES


@pytest.mark.parametrize("names", [["name", "smell"], []])
def test_unknown_or_no_channels_are_refused(names):
    with pytest.raises(DweError, match="There are name, prior"):
        check_channels(names)
