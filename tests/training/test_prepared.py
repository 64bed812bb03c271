import pytest

from spacy_dwe.images import ImageRef
from spacy_dwe.linking.mentions import Mention
from spacy_dwe.linking.prepare import PreparedMentions


def mention(text, start=0, images=(), doc=0):
    return Mention(doc, "document 1", start, 9, text, f"{text} won.", start, images)


@pytest.fixture
def prepare(prepared):
    """Prepares mentions, and remembers which."""

    def make(mentions):
        make.asked.append([m.text for m in mentions])
        return (prepared(0, 1) for _ in mentions)

    make.asked = []
    return make


def test_each_mention_is_prepared_once(prepare):
    store = PreparedMentions(1 << 20)
    first = store.get([mention("Georgia"), mention("Samoa")], prepare)
    again = store.get([mention("Samoa", doc=5), mention("Peru")], prepare)
    assert prepare.asked == [["Georgia", "Samoa"], ["Peru"]]
    assert again[0] is first[1]


def test_equal_mentions_of_a_batch_are_prepared_once(prepare):
    store = PreparedMentions(1 << 20)
    first, second, other = store.get(
        [mention("Georgia"), mention("Georgia", doc=1), mention("Peru")], prepare
    )
    assert prepare.asked == [["Georgia", "Peru"]]
    assert first is second is not other


def test_place_and_pictures_make_a_mention_another(prepare):
    store = PreparedMentions(1 << 20)
    flag = ImageRef(path="flag.jpg")
    mentions = [mention("A"), mention("A", start=4), mention("A", images=(flag,))]
    assert len({id(m) for m in store.get(mentions, prepare)}) == 3


def test_memory_is_bounded_and_what_is_kept_stays(prepare, prepared):
    """Epochs over twice as many as there is room for find half of them."""
    store = PreparedMentions(8 * prepared(0, 1).n_bytes)
    for _ in range(3):
        for n in range(16):
            store.get([mention(f"name {n}")], prepare)
            assert store.n_bytes <= store.max_bytes
    assert len(prepare.asked) == 16 + 8 + 8


def test_a_batch_larger_than_the_store_is_still_answered(prepare):
    store = PreparedMentions(0)
    assert len(store.get([mention(name) for name in "ABC"], prepare)) == 3
    assert store.n_bytes == 0


def test_clearing_forgets(prepare):
    store = PreparedMentions(1 << 20)
    store.get([mention("A")], prepare)
    store.clear()
    store.get([mention("A")], prepare)
    assert prepare.asked == [["A"], ["A"]]
