"""A tiny world for the component: ten names, each of a red and of a blue place.

Nothing but a picture tells the two namesakes apart; ids are such as "Georgia-red".
"""

import spacy
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_dwe.kb.entity import Entity

NAMES = (
    *("Georgia", "Congo", "Guinea", "Korea", "Samoa"),
    *("Limburg", "Cordoba", "Macedonia", "Santiago", "Victoria"),
)
COLOURS = {"red": (210, 30, 30), "blue": (30, 30, 210)}
PLACES = [(name, colour) for name in NAMES for colour in COLOURS]


SMALL_MODEL = {
    "@architectures": "spacy-dwe.DWE.v1",
    "head": "dwe",
    "width": 32,
    "n_heads": 2,
    "ffn_width": 32,
    "dropout": 0.0,
}


def pictured_entities(picture):
    """Nothing but their pictures tells namesakes apart."""
    return [
        Entity(f"{name}-{colour}", name, images=(picture(colour),))
        for name, colour in PLACES
    ]


def described_entities():
    """Nothing but their descriptions tells namesakes apart."""
    return [
        Entity(f"{name}-{colour}", name, f"A {colour} place.")
        for name, colour in PLACES
    ]


def linking_pipeline(kb, **config):
    nlp = spacy.blank("xx")
    nlp.add_pipe("dwe_linker", config={"device": "cpu", **config}).load_kb(kb)
    return nlp


def train(nlp, examples, steps=70, rate=3e-3, seed=0):
    """Train on all examples at once, `steps` times."""
    made = examples(nlp)
    fix_random_seed(seed)
    optimizer = nlp.initialize(lambda: made)
    optimizer.learn_rate = rate
    for _ in range(steps):
        nlp.update(made, sgd=optimizer)
    return nlp


def example(nlp, text, *labels, picture=None):
    """Labels are (name in the text, kb_id)."""
    doc = nlp.make_doc(text)
    if picture:
        doc._.images = picture
    reference = nlp.make_doc(text)
    spans = [(text.index(name), name, kb_id) for name, kb_id in labels]
    reference.ents = [
        reference.char_span(start, start + len(name), label="PLACE", kb_id=kb_id)
        for start, name, kb_id in spans
    ]
    return Example(doc, reference)
