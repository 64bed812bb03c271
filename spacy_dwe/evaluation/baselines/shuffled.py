"""Documents with pictures of other documents."""

from collections.abc import Iterator, Sequence

import numpy as np
from spacy.tokens import Doc

from ...tokens import has_images, replace_images
from .result import Impossible


def shuffled_pictures(docs: Sequence[Doc], seed: int = 0) -> Iterator[Doc]:
    """The same documents with each other's pictures: those of all documents that have
    any go round in a random circle, so that none keeps its own.

    docs (Sequence[Doc]): documents; they stay as they are.
    seed (int): of the circle.
    YIELDS (Doc): copies, in order.
    RAISES (Impossible): fewer than two documents have pictures.
    """
    pictured = [i for i, doc in enumerate(docs) if has_images(doc)]
    if len(pictured) < 2:
        raise Impossible("fewer than two documents have pictures")
    order = np.random.default_rng(seed).permutation(pictured).tolist()
    source = dict(zip(order, order[1:] + order[:1]))
    for i, doc in enumerate(docs):
        copy = doc.copy()
        copy.user_data = dict(doc.user_data)
        if i in source:
            replace_images(copy, docs[source[i]])
        yield copy
