"""Sentences about products for the Grocery Store Dataset, which has none: half of them
do not tell namesakes apart, and beside some of the others stands a wrong photograph."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

from .samples import Sample, SampleMention

MENTION, TITLE = "{mention}", "{title}"


@dataclass(frozen=True, slots=True)
class Product:
    """What is mentioned.

    id (str): of its entity.
    title (str): its full name.
    noun (str): what it is called for short, as others may be.
    """

    id: str
    title: str
    noun: str


@dataclass(frozen=True, slots=True)
class Templates:
    """Sentences of a split, none of which another split has. Those with `TITLE` name
    the product elsewhere, and mention it by its noun.

    undecidable (tuple[str, ...]): mention a noun, and say nothing that one product of
        that noun has and another one lacks.
    full_name (tuple[str, ...]): mention the full name.
    nearby (tuple[str, ...]): mention the noun, and name the product.
    asides (tuple[str, ...]): say nothing of any product, and stand before or behind.
    """

    undecidable: tuple[str, ...]
    full_name: tuple[str, ...]
    nearby: tuple[str, ...]
    asides: tuple[str, ...]


TEMPLATES = {
    "train": Templates(
        undecidable=(
            "My brother asked me to bring the {mention}.",
            "Somebody left the {mention} on the counter.",
            "Have you already put the {mention} in the basket?",
            "I photographed the {mention} so that we would find it again.",
            "This {mention} was cheaper on Monday.",
            "The {mention} is on the second shelf from the top.",
            "She paid for the {mention} in coins.",
            "Please weigh the {mention} before you queue.",
            "There was hardly any of this {mention} left.",
            "We forgot the {mention} in the car.",
            "Which aisle did you find the {mention} in?",
            "Our neighbour recommended this {mention}.",
            "The cashier could not scan the {mention}.",
            "I am holding the {mention} in my hand.",
            "They moved the {mention} closer to the entrance.",
            "Grab the {mention} and meet me at the till.",
            "The {mention} in the picture is what I meant.",
            "Take a look at this {mention}.",
            "He went back twice because of the {mention}.",
            "The {mention} did not fit in my bag.",
            "That {mention} is for the party on Friday.",
            "Is this the {mention} that you wanted?",
            "Nobody in our house finishes the {mention}.",
            "The price tag of the {mention} had fallen off.",
        ),
        full_name=(
            "We still need {mention} for tomorrow.",
            "The receipt lists {mention} twice.",
            "Could you bring me {mention} from the shop?",
            "They were out of {mention} again.",
            "For once {mention} was where it should be.",
            "I had never bought {mention} before.",
            "Somebody had hidden {mention} behind the bread.",
            "What does {mention} cost these days?",
        ),
        nearby=(
            "The label reads {title}, and I took the {mention}.",
            "I was looking for {title}; the {mention} stood at the very back.",
            "It says {title} on the list, so this must be the {mention}.",
            "Mother wants {title}, no other {mention}.",
            "Once I had found {title}, the {mention} went into the basket.",
            "As for {title}, I think the {mention} is too dear.",
            "We agreed on {title}, and he paid for the {mention}.",
            "The sign announced {title}, but the {mention} was gone.",
        ),
        asides=(
            "It rained all morning.",
            "The bus was late.",
            "I had left my phone at home.",
            "We were in a hurry.",
            "The shop closes at nine.",
            "My sister waited outside.",
            "There was music everywhere.",
            "I met an old friend.",
            "It took us half an hour.",
            "The parking lot was full.",
            "Nobody noticed.",
            "After that we walked home.",
        ),
    ),
    "dev": Templates(
        undecidable=(
            "Can you see the {mention} from where you stand?",
            "The {mention} rolled under a trolley.",
            "Two people reached for the {mention} at once.",
            "Let us ask somebody about this {mention}.",
            "I would rather return the {mention}.",
            "The {mention} that I sent you a photo of is on offer.",
            "Who put the {mention} in my trolley?",
            "My flatmate swears by this {mention}.",
            "Here is the {mention}, as promised.",
            "They ran an advertisement for the {mention} last week.",
        ),
        full_name=(
            "Remind me to buy {mention}.",
            "Her note said {mention} and nothing else.",
            "All that was left was {mention}.",
            "He came home with {mention} and a newspaper.",
        ),
        nearby=(
            "You asked for {title}: here is the {mention}.",
            "I pointed at {title} and said that I would take the {mention}.",
            "Because {title} was on offer, we took the {mention}.",
            "My notes say {title}; give me that {mention}.",
        ),
        asides=(
            "The lift was broken.",
            "I could not stop yawning.",
            "Our appointment was at four.",
            "The lights flickered.",
            "We laughed about it later.",
        ),
    ),
    "test": Templates(
        undecidable=(
            "I almost dropped the {mention}.",
            "We should try this {mention} one day.",
            "The {mention} was the last thing on my list.",
            "An assistant showed me where the {mention} is.",
            "Do you remember who ordered the {mention}?",
            "From here I cannot read what the {mention} costs.",
            "The {mention} looked just as it does in this photo.",
            "Swap the {mention} for something else if you like.",
            "He carried the {mention} up four flights of stairs.",
            "I will share the {mention} with my colleagues.",
            "There is a queue in front of the {mention}.",
            "A child asked what the {mention} was for.",
        ),
        full_name=(
            "The delivery came without {mention}.",
            "I wrote down {mention} as number three.",
            "Every Saturday he buys {mention}.",
            "You will find {mention} next to the door.",
            "She swapped my order for {mention}.",
        ),
        nearby=(
            "According to the shelf it is {title}, so I kept the {mention}.",
            "The app suggested {title}, and soon the {mention} was delivered.",
            "Her message said {title}, which is the {mention} over there.",
            "If they have {title}, get two of the {mention}.",
            "He meant {title} when he spoke of the {mention}.",
        ),
        asides=(
            "My shoes were wet.",
            "The meeting had been cancelled.",
            "It was nearly dark outside.",
            "I counted my change.",
            "Somebody was whistling.",
            "The train leaves in ten minutes.",
        ),
    ),
}


def documents(
    split: str,
    photographs: Mapping[Product, Sequence[str]],
    unseen: Collection[str],
    seed: int,
) -> list[Sample]:
    """Sentences for the photographs of a split. Of four documents two are undecidable:
    their sentence stands word for word beside photographs of several namesakes. The
    text decides in the two others, which have a right and a wrong photograph; two of
    three wrong ones are unrelated, one is a namesake's, each the right photograph of
    another document.

    photographs (Mapping[Product, Sequence[str]]): names of those that may be shown, of
        products that share their noun.
    unseen (Collection[str]): nouns that train does not have.
    seed (int): of all that is chosen.
    RETURNS (list[Sample]): in a random order, each with one mention, whose groups are
        `undecidable` or `text`, how the text names the product, whose picture it has,
        whether train has its noun, and for undecidable ones the noun.
    """
    rng = random.Random(f"{seed} {split}")
    templates = TEMPLATES[split]
    owned = [
        (name, product) for product in photographs for name in photographs[product]
    ]
    samples = []
    n_placed = n_decided = 0
    for noun in dict.fromkeys(product.noun for product in photographs):
        seen = "name:unseen" if noun in unseen else "name:seen"
        pool = [(name, product) for name, product in owned if product.noun == noun]
        rng.shuffle(pool)
        thirds = [(n_placed + i) % 3 == 2 for i in range(len(pool))]
        n_placed += len(pool)
        undecided = [item for item, is_third in zip(pool, thirds) if not is_third]
        for sentence, name, product in _undecidable(undecided, templates, rng):
            groups = ("undecidable", "picture:right", seen, f"noun:{noun}")
            samples.append(_sample(sentence, product, name, groups))
        for name, product in compress(pool, thirds):
            wrong, whose = _wrong_photograph(product, owned, n_decided, rng)
            for shown, of in ((name, "right"), (wrong, whose)):
                if shown is not None:
                    sentence, kind = _decided(templates, n_decided, rng)
                    groups = ("text", kind, f"picture:{of}", seen)
                    samples.append(_sample(sentence, product, shown, groups))
            n_decided += 1
    rng.shuffle(samples)
    return [
        replace(sample, id=f"grocery-{split}-{number:05}")
        for number, sample in enumerate(samples)
    ]


def _undecidable(
    photographs: Sequence[tuple[str, Product]],
    templates: Templates,
    rng: random.Random,
) -> Iterator[tuple["_Sentence", str, Product]]:
    """Give photographs of namesakes the same sentences: as many as the product with the
    second most photographs has, so that each stands beside two products at least.

    YIELDS (tuple[_Sentence, str, Product]): sentence, photograph, product.
    """
    by_product: dict[Product, list[str]] = {}
    for name, product in photographs:
        by_product.setdefault(product, []).append(name)
    counts = sorted(len(names) for names in by_product.values())
    variants = [
        _Sentence(template, aside, is_first)
        for template in templates.undecidable
        for aside, is_first in _asides(templates)
    ]
    n = min(counts[-2:], default=0)
    chosen = rng.sample(variants, min(n, len(variants)))
    for product, names in by_product.items():
        for i, name in enumerate(names):
            yield chosen[i % len(chosen)], name, product


def _asides(templates: Templates) -> Iterator[tuple[str, bool]]:
    """YIELDS (tuple[str, bool]): no sentence beside the one that matters, or each of
    those that there are, before and behind it."""
    yield "", False
    for aside in templates.asides:
        yield aside, True
        yield aside, False


def _decided(
    templates: Templates, number: int, rng: random.Random
) -> tuple["_Sentence", str]:
    """RETURNS (tuple[_Sentence, str]): a sentence that names its product, and how; each
    second one does so apart from the mention."""
    is_nearby = number % 2 == 1
    template = rng.choice(templates.nearby if is_nearby else templates.full_name)
    sentence = _Sentence(template, *rng.choice(list(_asides(templates))))
    return sentence, "text:full-name-nearby" if is_nearby else "text:full-name"


def _wrong_photograph(
    product: Product,
    owned: Sequence[tuple[str, Product]],
    number: int,
    rng: random.Random,
) -> tuple[str | None, str]:
    """RETURNS (tuple[str | None, str]): a photograph of another product, and whose:
    "namesake" or "unrelated". None where there is no other product."""
    namesakes = [n for n, o in owned if o.noun == product.noun and o != product]
    unrelated = [n for n, o in owned if o.noun != product.noun]
    if namesakes and (number % 3 == 2 or not unrelated):
        return rng.choice(namesakes), "namesake"
    return (rng.choice(unrelated) if unrelated else None), "unrelated"


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A template, and what stands before it (`is_first`) or behind it, if anything."""

    template: str
    aside: str
    is_first: bool


def _sample(
    sentence: _Sentence, product: Product, photograph: str, groups: tuple[str, ...]
) -> Sample:
    mention = product.title if "text:full-name" in groups else product.noun
    before, _, behind = sentence.template.replace(TITLE, product.title).partition(
        MENTION
    )
    if sentence.aside and sentence.is_first:
        before = f"{sentence.aside} {before}"
    elif sentence.aside:
        behind = f"{behind} {sentence.aside}"
    span = len(before), len(before) + len(mention)
    placed = SampleMention(mention, product.id, span, groups=groups)
    return Sample("", before + mention + behind, (placed,), photograph)
