"""Another text encoder is all that other languages need."""

import json

import pytest
import spacy
from tiny_models import save_multilingual_bert
from tiny_world import SMALL_MODEL, linking_pipeline, train

from spacy_dwe.building.build import build_kb
from spacy_dwe.encoders.registry import text_encoder
from spacy_dwe.kb.entity import Entity
from spacy_dwe.training.corpus import create_corpus

NAMES = {
    "latin": ["Łódź", "Córdoba", "Georgia"],
    "cyrillic": ["Волга", "Грузия", "Самара"],
    "japanese": ["東京", "グルジア", "長崎"],
    "arabic": ["قرطبة", "جورجيا", "دمشق"],
}
KINDS = {
    "latin": {
        "river": ("A long river with many fish", "{} flows into the cold sea."),
        "town": ("A town with an old castle", "{} has elected a new mayor."),
    },
    "cyrillic": {
        "river": ("Длинная река, в которой много рыбы", "{} впадает в море."),
        "town": ("Город со старой крепостью", "{} выбирает нового мэра."),
    },
    "japanese": {
        "river": ("魚の多い長い川", "夏の{}は海に注ぐ。"),
        "town": ("古い城のある町", "昨日{}で市長が選ばれた。"),
    },
    "arabic": {
        "river": ("نهر طويل كثير السمك", "يصب {} في البحر."),
        "town": ("مدينة فيها قلعة قديمة", "انتخبت {} رئيسا جديدا."),
    },
}
MENTIONS = [
    (script, name, kind)
    for script, names in NAMES.items()
    for name in names
    for kind in KINDS[script]
]


@pytest.fixture(scope="module")
def multilingual_kb(tmp_path_factory):
    """Two namesakes a name, of which only the sentence tells which is meant."""
    root = tmp_path_factory.mktemp("languages")
    entities = [
        Entity(f"{name}-{kind}", name, KINDS[script][kind][0])
        for script, name, kind in MENTIONS
    ]
    texts = [f"{entity.title}. {entity.description}" for entity in entities]
    texts += [KINDS[script][kind][1].format(name) for script, name, kind in MENTIONS]
    (root / "bert").mkdir()
    save_multilingual_bert(root / "bert", texts)
    encoder = text_encoder(str(root / "bert"), device="cpu")
    return build_kb(entities, root / "places.kb", text_encoder=encoder).path


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    path = tmp_path_factory.mktemp("documents") / "train.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for script, name, kind in MENTIONS:
            before, after = KINDS[script][kind][1].split("{}")
            mention = {"start": len(before), "end": len(before) + len(name)}
            mention |= {"kb_id": f"{name}-{kind}", "groups": [script]}
            record = {"text": before + name + after, "mentions": [mention]}
            file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture(scope="module")
def linker(multilingual_kb, documents):
    nlp = linking_pipeline(multilingual_kb, model=SMALL_MODEL)
    return train(nlp, lambda nlp: list(create_corpus(documents)(nlp)), steps=60)


def links(nlp, documents):
    """Right links of each script."""
    right = dict.fromkeys(NAMES, 0)
    for example in create_corpus(documents)(nlp):
        (gold,) = example.reference.ents
        doc = example.predicted
        doc.ents = [
            doc.char_span(gold.start_char, gold.end_char, label="PLACE", kb_id="")
        ]
        (ent,) = nlp(doc).ents
        script = next(s for s in NAMES if gold.text in NAMES[s])
        right[script] += ent.kb_id_ == gold.kb_id_
    return right


def test_names_are_found_in_every_script(linker, documents):
    examples = list(create_corpus(documents)(linker))
    assert linker.evaluate(examples)["nel_recall_100"] == 1.0


def test_every_script_is_learned(linker, multilingual_kb, documents):
    untrained = links(linking_pipeline(multilingual_kb), documents)
    assert sum(untrained.values()) < 18, f"of 6 in each script: {untrained}"
    right = links(linker, documents)
    assert all(n >= 5 for n in right.values()), f"of 6 in each script: {right}"


def test_a_saved_pipeline_links_the_same(linker, documents, tmp_path):
    linker.to_disk(tmp_path)
    assert links(spacy.load(tmp_path), documents) == links(linker, documents)
