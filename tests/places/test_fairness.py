"""What makes the sample a fair test, checked on the files that are written."""

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import open_clip
import pytest
from PIL import Image

from places.data import Place, Places
from places.flags import COLOURS, describe, distance
from places.layers import ANIMALS, LAYERS, OBJECTS, PLANTS
from places.plan import Document, Plan, plan_sample
from places.sentences import DECIDABLE, ELSEWHERE, PAIRED, UNDECIDABLE

Rows = Callable[[str], list[dict[str, Any]]]

SPLITS = "train", "dev", "test"
CONTROLS = "test-permuted", "test-swapped"
FLAG_WORDS = {
    *itertools.chain.from_iterable(colour.split() for colour in COLOURS),
    *LAYERS,
    *ANIMALS,
    *PLANTS,
    *OBJECTS,
    *("flag", "saltire", "golden", "silver", "banner", "emblem", "leaves", "arms"),
} - {"light", "dark"}


@pytest.fixture(scope="module")
def plan(places: Places) -> Plan:
    """The whole sample, without its pixels."""
    return plan_sample(places)


@pytest.fixture(scope="module")
def by_id(places: Places) -> dict[str, Place]:
    return {place.id: place for place in places.rows}


def mentions(documents: Iterable[Document]) -> Counter[str]:
    return Counter(
        group
        for document in documents
        for mention in document.mentions
        for group in ("all", *mention.groups)
    )


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def test_there_are_enough_names_and_mentions(places: Places, plan: Plan) -> None:
    assert len(places.rows) >= 200
    assert len(places.ambiguous) >= 45
    unseen = [name for name, group in places.ambiguous.items() if group[0].unseen]
    assert len(unseen) >= 0.2 * len(places.ambiguous)
    count = mentions(plan.documents["test"])
    assert count["all"] >= 1100
    assert count["undecidable"] >= 400
    assert count["undecidable"] >= 0.4 * count["all"]
    assert count["unseen"] >= 150
    assert count["unseen-picture"] >= 50
    assert count["unseen-description"] >= 50
    for split in SPLITS:
        count = mentions(plan.documents[split])
        assert 0.03 <= count["nil"] / count["all"] <= 0.08


def test_undecidable_sentences_are_said_of_all_namesakes_alike(
    rows: Rows, places: Places, by_id: dict[str, Place]
) -> None:
    for split in SPLITS:
        said: dict[str, Counter[str]] = defaultdict(Counter)
        for document in rows(split):
            for mention in document["mentions"]:
                if "undecidable" in mention["groups"]:
                    assert len(document["mentions"]) == 1
                    assert document["images"]
                    said[mention["kb_id"]][document["text"]] += 1
        assert said
        for gold, sentences in said.items():
            name = by_id[gold].name
            assert name in places.ambiguous
            for namesake in places.ambiguous[name]:
                assert said[namesake.id] == sentences, (split, name)


def test_namesakes_have_equal_priors(rows: Rows, by_id: dict[str, Place]) -> None:
    priors = defaultdict(list)
    for entity in rows("entities"):
        name, *others = entity["aliases"]
        assert name["alias"] == by_id[entity["id"]].name
        assert all(isinstance(alias, str) for alias in others)
        assert "prior" not in entity
        priors[name["alias"]].append(name["prior"])
    for values in priors.values():
        assert values == [1 / len(values)] * len(values)


def test_no_other_name_is_shared(places: Places) -> None:
    """So a name's candidates are its namesakes, and a share of them is chance."""
    owners = defaultdict(set)
    for place in places.rows:
        for name in (place.name, place.title, *place.aliases):
            owners[name.lower()].add(place.name)
    assert [name for name, owner in owners.items() if len(owner) > 1] == []


def test_no_sentence_names_what_is_on_a_flag(rows: Rows) -> None:
    for split in SPLITS:
        for document in rows(split):
            for word in re.findall(r"[^\W\d_]+", document["text"].lower()):
                stems = {word, word.removesuffix("s"), word.removesuffix("es")}
                assert not stems & FLAG_WORDS, document["text"]


def test_a_decidable_sentence_shares_words_with_its_place_alone(
    rows: Rows, places: Places, by_id: dict[str, Place]
) -> None:
    for split in SPLITS:
        for document in rows(split):
            for mention in document["mentions"]:
                if "decidable" in mention["groups"]:
                    place = by_id[mention["kb_id"]]
                    own = words(place.description) & words(document["text"])
                    own -= words(place.name)
                    for other in places.namesakes[place.name]:
                        if other is not place:
                            own -= words(other.description)
                    assert own, document["text"]


def test_templates_and_sentences_are_used_in_one_split_only(rows: Rows) -> None:
    for templates in (UNDECIDABLE, DECIDABLE, PAIRED, ELSEWHERE):
        for a, b in itertools.combinations(SPLITS, 2):
            assert not set(templates[a]) & set(templates[b])
    texts = {split: {d["text"] for d in rows(split)} for split in SPLITS}
    for a, b in itertools.combinations(SPLITS, 2):
        assert not texts[a] & texts[b]


def test_no_picture_is_used_twice(rows: Rows) -> None:
    """A split's, the swapped ones and the entities' are photographed apart."""
    sources = {stem: pictures(rows(stem)) for stem in (*SPLITS, "entities")}
    sources["swapped"] = pictures(rows("test-swapped"))
    everything = [name for names in sources.values() for name in names]
    assert len(everything) == len(set(everything))
    assert set(pictures(rows("test-permuted"))) == set(sources["test"])


def pictures(records: Iterable[dict[str, Any]]) -> list[str]:
    return [name for record in records for name in record["images"]]


def test_file_names_are_hashes_of_pictures_without_metadata(
    corpus: Path, rows: Rows
) -> None:
    used = set()
    for stem in (*SPLITS, *CONTROLS, "entities"):
        used.update(pictures(rows(stem)))
    files = {f"images/{path.name}": path for path in (corpus / "images").iterdir()}
    assert set(files) == used
    for path in files.values():
        data = path.read_bytes()
        assert path.name == f"{hashlib.sha256(data).hexdigest()[:16]}.jpg"
        with Image.open(path) as image:
            assert not image.getexif()
            assert set(image.info) <= {
                *("jfif", "jfif_version", "jfif_unit", "jfif_density")
            }


def test_document_ids_tell_nothing(rows: Rows) -> None:
    for stem in (*SPLITS, *CONTROLS):
        for document in rows(stem):
            assert re.fullmatch(rf"{stem.split('-')[0]}-\d+", document["id"])


def test_unseen_names_stand_in_test_only(rows: Rows, places: Places) -> None:
    hidden = {place.id: place for place in places.rows if place.unseen}
    for split in ("train", "dev"):
        for document in rows(split):
            for place in hidden.values():
                for name in (place.name, place.title, *place.aliases):
                    assert not re.search(rf"\b{re.escape(name)}\b", document["text"])
    for group in places.namesakes.values():
        assert len({place.unseen for place in group}) == 1


def test_no_flag_of_an_unseen_place_is_shown_in_training(
    plan: Plan, by_id: dict[str, Place]
) -> None:
    for split in ("train", "dev"):
        for document in plan.documents[split]:
            shown = document.picture
            assert not (shown and shown.subject and by_id[shown.subject].unseen)


def test_some_pictures_are_irrelevant(rows: Rows, plan: Plan) -> None:
    for split in SPLITS:
        count = mentions(plan.documents[split])
        assert count["irrelevant-picture"] >= 0.15 * count["decidable"]
        for document in rows(split):
            for mention in document["mentions"]:
                if "irrelevant-picture" in mention["groups"]:
                    assert document["images"]
                    assert "decidable" in mention["groups"]


def test_an_irrelevant_picture_shows_nothing_the_name_may_mean(
    plan: Plan, places: Places, by_id: dict[str, Place]
) -> None:
    for split in SPLITS:
        for document in plan.documents[split]:
            shown = document.picture
            if shown is None or len(document.mentions) > 1:
                continue
            gold = document.mentions[0].gold
            irrelevant = "irrelevant-picture" in document.mentions[0].groups
            assert irrelevant == (gold is not None and shown.subject != gold)
            if irrelevant and gold and shown.subject:
                for namesake in places.namesakes[by_id[gold].name]:
                    assert distance(namesake.flag, by_id[shown.subject].flag) > 0.2


def test_flags_of_one_name_differ_clearly(places: Places) -> None:
    for group in places.ambiguous.values():
        for a, b in itertools.combinations(group, 2):
            assert distance(a.flag, b.flag) >= 0.2, (a.title, b.title)


def test_descriptions_name_what_is_on_the_flag_within_a_clip_text(
    places: Places,
) -> None:
    tokenize = open_clip.get_tokenizer("ViT-B-32")
    for place in places.rows:
        assert describe(place.flag)[0] in place.description, place.title
        text = f"{place.title}. {place.description}"
        assert int((tokenize([text]) != 0).sum()) < 77, place.title


def test_ids_are_of_wikidata(rows: Rows) -> None:
    ids = [entity["id"] for entity in rows("entities")]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"Q[1-9]\d*", id) for id in ids)


def test_half_of_the_names_have_pictures_in_the_knowledge_base(
    rows: Rows, places: Places
) -> None:
    pictured = {entity["id"] for entity in rows("entities") if entity["images"]}
    for unseen in (False, True):
        own = {place.id for place in places.rows if place.unseen == unseen}
        assert 0.4 <= len(own & pictured) / len(own) <= 0.6
    for group in places.namesakes.values():
        assert len({place.id in pictured for place in group}) == 1


def test_permuted_pictures_show_something_else(plan: Plan) -> None:
    test, permuted = plan.documents["test"], plan.documents["test-permuted"]
    before = Counter(d.picture for d in test if d.picture)
    assert Counter(d.picture for d in permuted if d.picture) == before
    for own, other in zip(test, permuted, strict=True):
        assert (own.id, own.text, own.mentions) == (
            other.id,
            other.text,
            other.mentions,
        )
        if own.picture and other.picture:
            golds = {mention.gold for mention in own.mentions}
            assert other.picture.subject not in {own.picture.subject, *golds}


def test_swapped_pictures_show_a_namesake(
    rows: Rows, places: Places, by_id: dict[str, Place]
) -> None:
    undecidable = {
        document["id"]: document
        for document in rows("test")
        if "undecidable" in document["mentions"][0]["groups"]
    }
    swapped = {document["id"]: document for document in rows("test-swapped")}
    assert set(swapped) == set(undecidable)
    for id, document in swapped.items():
        assert document["text"] == undecidable[id]["text"]
        (mention,) = document["mentions"]
        gold, target = by_id[mention["kb_id"]], by_id[document["swapped_to"]]
        assert gold.name == target.name
        assert gold.id != target.id
