"""spaCy's own EntityLinker, trained on the same data."""

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import spacy
from spacy.kb import InMemoryLookupKB
from spacy.pipeline import EntityLinker
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch
from spacy.vocab import Vocab

from ...tokens import NIL
from ..outcomes import gold_mentions

if TYPE_CHECKING:
    from spacy.language import Language

    from ...kb.knowledge_base import DweKnowledgeBase
    from ...settings import LinkerSettings

BATCH = 64
STEPS = 150
VECTOR = 64
"""Width of entity vectors, as spaCy's documentation has it: of descriptions' vectors
what a random projection leaves, or, where the KB has none, random ones."""
MENTION_OF_A_LIST = 0.999
"""spaCy wants the priors of one name to add up to no more than 1."""


def train_entity_linker(
    kb: "DweKnowledgeBase",
    train: Sequence[Doc],
    *,
    lang: str,
    seed: int = 0,
    steps: int = STEPS,
) -> "Language":
    """Train spaCy's EntityLinker with its default model. It looks names up exactly as
    written, and reads the sentence alone; documents are one sentence to it.

    kb (DweKnowledgeBase): its titles, aliases, priors and description vectors become an
        InMemoryLookupKB. Names without priors share theirs evenly.
    train (Sequence[Doc]): entities carry the labels as kb_id.
    lang (str): language of the tokenizer.
    seed (int): of weights, order and projection.
    steps (int): batches of 64 documents.
    RETURNS (Language): a pipeline of this linker alone.
    """
    fix_random_seed(seed)
    nlp = spacy.blank(lang)
    nlp.add_pipe("entity_linker", config={"use_gold_ents": True})
    linker = _linker(nlp)
    examples = [
        Example(_asked(doc, nlp.vocab), _one_sentence(doc, nlp.vocab)) for doc in train
    ]
    known = [e for e in examples if any(ent.kb_id_ in kb for ent in e.reference.ents)]
    linker.initialize(
        lambda: known[:100], nlp=nlp, kb_loader=lambda vocab: _lookup(kb, vocab, seed)
    )
    optimiser = nlp.create_optimizer()
    rng = random.Random(seed)
    done = 0
    while done < steps and known:
        rng.shuffle(known)
        for batch in minibatch(known, BATCH):
            linker.update(batch, sgd=optimiser)
            done += 1
            if done == steps:
                break
    return nlp


def lookup_kb(nlp: "Language") -> InMemoryLookupKB:
    """RETURNS (InMemoryLookupKB): what the pipeline looks names up in."""
    return cast(InMemoryLookupKB, _linker(nlp).kb)


def linked_by(
    nlp: "Language", docs: Sequence[Doc], settings: "LinkerSettings | None" = None
) -> list[list[str | None]]:
    """RETURNS (list[list[str | None]]): the id that each labelled mention of each
    document is linked to, None for NIL. `settings` as in `gold_mentions`."""
    asked = [
        _one_sentence(gold_mentions(doc, "", settings)[0], nlp.vocab) for doc in docs
    ]
    return [
        [None if ent.kb_id_ in ("", NIL) else ent.kb_id_ for ent in doc.ents]
        for doc in nlp.pipe(asked)
    ]


def _linker(nlp: "Language") -> EntityLinker:
    return cast(EntityLinker, nlp.get_pipe("entity_linker"))


def _lookup(kb: "DweKnowledgeBase", vocab: Vocab, seed: int) -> InMemoryLookupKB:
    entities = list(kb)
    ids = [entity.id for entity in entities]
    lookup = InMemoryLookupKB(vocab, entity_vector_length=VECTOR)
    lookup.set_entities(ids, [1] * len(ids), _vectors(kb, ids, seed))
    owners: dict[str, dict[str, float | None]] = {}
    for entity in entities:
        names = [(entity.title, entity.prior)]
        names += [(alias.alias, alias.prior) for alias in entity.aliases]
        for name, prior in names:
            owners.setdefault(name, {})[entity.id] = prior
    for name, priors in owners.items():
        shares = _shares(list(priors.values()))
        lookup.add_alias(alias=name, entities=list(priors), probabilities=shares)
    return lookup


def _shares(priors: Sequence[float | None]) -> list[float]:
    """Priors of one name's entities; those that are not known share what is left."""
    known = sum(prior for prior in priors if prior is not None)
    n_unknown = sum(prior is None for prior in priors)
    rest = max(0.0, 1 - known) / n_unknown if n_unknown else 0.0
    shares = np.array([rest if prior is None else prior for prior in priors])
    return (MENTION_OF_A_LIST * shares / max(1.0, shares.sum())).tolist()


def _vectors(
    kb: "DweKnowledgeBase", ids: Sequence[str], seed: int
) -> Iterable[list[float]]:
    rng = np.random.default_rng(seed)
    if kb.text_set is None:
        return cast(
            "list[list[float]]", rng.standard_normal((len(ids), VECTOR)).tolist()
        )
    vectors = kb.vector_sets[kb.text_set]
    gathered, _ = vectors.gather(kb.rows_of(ids))
    projection = rng.standard_normal((vectors.dim, VECTOR)) / np.sqrt(VECTOR)
    return cast("list[list[float]]", (gathered @ projection).tolist())


def _one_sentence(doc: Doc, vocab: Vocab) -> Doc:
    moved = Doc(vocab).from_bytes(doc.to_bytes(exclude=["user_data"]))
    for token in moved:
        token.is_sent_start = token.i == 0
    return moved


def _asked(doc: Doc, vocab: Vocab) -> Doc:
    return _one_sentence(gold_mentions(doc, "")[0], vocab)
