import types

import numpy as np
import pytest
import spacy
from columns import columns

from spacy_dwe.channels import CHANNELS
from spacy_dwe.channels.base import check_channels
from spacy_dwe.errors import DweError
from spacy_dwe.kb.candidates import Candidates
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
    head = QueryHead(8, text=True, picture=None, of_pictures=False)
    heads = dict.fromkeys(("description@text", "description@clip"), head)
    own = columns(CHANNELS).all
    spec = NetworkSpec(own, heads, 8, {"clip": 8}, 8, 1, 8, 0.0, False, False)
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
    text_set = None
    picture_spaces = ()
    owns_pictures = (False, False)

    def text_vectors(self):
        return None

    def picture_vectors(self, space):
        return [np.zeros((0, 8), dtype=np.float32)] * 2

    def picture_views(self, space):
        return [()] * 2

    def attribute(self, name):
        return [None, None]


@pytest.mark.parametrize("names", [["name", "smell"], []])
def test_unknown_or_no_channels_are_refused(names):
    with pytest.raises(DweError, match="There are name, prior"):
        check_channels(names, CHANNELS)


class Own:
    """Says what it was given to say."""

    columns = types.MappingProxyType({"one": 1.0})

    def __init__(self, said=None, reads=()):
        self.said, self.reads = said, reads

    def compute(self, mentions, candidates, kb):
        if self.said is None:
            return mentions.attribute("place"), True
        return self.said


@pytest.fixture
def linker(names_kb):
    made = spacy.blank("xx").add_pipe("dwe_linker", config={"device": "cpu"})
    made.load_kb(names_kb)
    return made


def link(linker):
    doc = spacy.blank("xx").make_doc("Georgia won.")
    doc.ents = [doc.char_span(0, 7, label="PLACE")]
    return linker(doc).ents[0]


@pytest.mark.parametrize(
    "said, told",
    [
        ((np.zeros((1, 1)), True), r"an array of shape \(1, 1\).*shape \(2, 1\)"),
        ((np.zeros((2, 1)), np.ones(2, dtype=bool)), r"an array of shape \(2,\)"),
        ((np.array([[1.0], [np.nan]]), True), "NaN or inf for 'Georgia' in document"),
        (np.zeros((2, 1)), "channel own computed"),
        (([["a"], ["b"]], True), "channel own computed"),
    ],
)
def test_what_a_channel_must_not_say_is_refused(linker, said, told):
    linker.more_channels = {"own": Own(said)}
    with pytest.raises(DweError, match=told):
        link(linker)


def test_nan_may_stand_where_there_is_nothing(linker):
    values = np.array([[0.5], [np.nan]])
    linker.more_channels = {"own": Own((values, ~np.isnan(values)))}
    scores = [each.scores["own"] for each in link(linker)._.kb_candidates]
    assert sorted(scores) == [0.0, 0.5]


def test_an_attribute_that_is_not_declared_is_told(linker):
    linker.more_channels = {"own": Own()}
    with pytest.raises(DweError, match=r"add '_\.place' there"):
        link(linker)


@pytest.mark.parametrize(
    "name, channel",
    [
        ("name", Own()),
        ("own", object()),
        ("own", Own(reads="text")),
        ("own", Own(reads=["place"])),
    ],
)
def test_what_is_no_channel_is_refused_and_changes_nothing(linker, name, channel):
    with pytest.raises(DweError, match=f"more_channels: {name} is no channel"):
        linker.more_channels = {name: channel}
    linker.threshold = 0.1
    assert link(linker)._.kb_candidates


@pytest.mark.parametrize("found", [None, [], Candidates.from_lists([[-1]])])
def test_what_a_generator_must_not_find_is_refused(linker, found):
    linker.generate_candidates = lambda kb, mentions, n: found
    with pytest.raises(DweError, match="E530"):
        link(linker)
