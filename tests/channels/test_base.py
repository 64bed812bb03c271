import types

import numpy as np
import pytest
import spacy
from columns import columns

from spacy_dwe.channels import CHANNELS
from spacy_dwe.channels.base import check_channels
from spacy_dwe.errors import DweError
from spacy_dwe.model.spec import NetworkSpec, QueryHead, untrained_spec


def test_columns_stand_in_the_order_of_the_channels():
    layout = columns(["dwe", "image", "name"], ["image@clip"])
    assert layout.channels == ("name", "image", "dwe")
    together = [i for channel in layout.channels for i in layout.of(channel)]
    assert together == list(range(len(layout)))
    assert layout.names[-1] == ("dwe", "image@clip")
    assert layout.of("text") == []


def test_the_dwe_channel_has_a_column_for_each_head():
    assert columns(["dwe"]).channels == ()
    head = QueryHead(8, text=True, picture=False, of_pictures=False)
    heads = dict.fromkeys(("description@text", "description@clip"), head)
    own = columns(CHANNELS).all
    spec = NetworkSpec(own, heads, 8, 8, 8, 1, 8, 0.0, False, False)
    assert len(spec.all_columns.of("dwe")) == 2
    assert spec.all_columns.without_dwe().all == own
    assert untrained_spec(own).all_columns.all == own


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_computes_the_columns_that_it_names(name, kb):
    candidates = kb.search(Mentions.texts)
    values, present = CHANNELS[name].compute(Mentions(), candidates, kb)
    assert values.shape == (len(candidates.rows), len(CHANNELS[name].columns))
    assert isinstance(present, bool) or present.shape == values.shape


class Mentions:
    """Two mentions that nothing is known of but what they are called."""

    texts = contexts = ("Georgia", "Tbilisi")
    text_set = picture_space = None

    def text_vectors(self):
        return None

    def picture_vectors(self):
        return [np.zeros((0, 8), dtype=np.float32)] * 2

    def attribute(self, name):
        return [None, None]


@pytest.mark.parametrize("names", [["name", "smell"], []])
def test_unknown_or_no_channels_are_refused(names):
    with pytest.raises(DweError, match="There are name, prior"):
        check_channels(names, CHANNELS)


class Wrong:
    """Says of each mention what it should say of each candidate."""

    columns = types.MappingProxyType({"one": 1.0})
    reads = ()

    def compute(self, mentions, candidates, kb):
        return np.zeros((len(mentions.texts), 1), dtype=np.float32), True


def test_values_of_another_shape_are_refused(names_kb):
    nlp = spacy.blank("xx")
    linker = nlp.add_pipe("dwe_linker", config={"device": "cpu"})
    linker.more_channels = {"wrong": Wrong()}
    linker.load_kb(names_kb)
    doc = nlp.make_doc("Georgia won.")
    doc.ents = [doc.char_span(0, 7, label="PLACE")]
    with pytest.raises(DweError, match=r"channel wrong .*\(1, 1\) instead of \(2, 1\)"):
        linker(doc)
