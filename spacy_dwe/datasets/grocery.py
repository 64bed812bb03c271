"""The Grocery Store Dataset, photographs of products many of which share a word such as
"milk", as a multimodal set."""

import csv
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DweError, Errors
from ..files import read_lines
from ..images import content_hash
from ..kb.entity import Alias, Entity
from .grocery_sentences import Product, documents
from .published_files import not_published
from .samples import LeftOut, PublishedDataset

GROCERY = "grocery"
CLASSES = "classes.csv"
LISTS = {"test": "test.txt", "dev": "val.txt", "train": "train.txt"}
"""Published list of each split's photographs. A photograph that stands in several
belongs to the first."""
COLUMNS = {
    "name": "Class Name (str)",
    "number": "Class ID (int)",
    "noun": "Coarse Class Name (str)",
    "iconic": "Iconic Image Path (str)",
    "description": "Product Description Path (str)",
}

ABSENT = "no such photograph"

KB_PHOTOGRAPHS = 2
"""Photographs of train that an entity gets beside its iconic picture."""
DEV_PHOTOGRAPHS = 3
"""Where val has fewer of a product, train gives the rest."""
UNSEEN = 0.2
"""Share of the products with a shared noun, at most, whose nouns train and dev lack."""


@dataclass(frozen=True, slots=True)
class _Class:
    """A line of classes.csv.

    where (str): file and line.
    number (str): what the lists of photographs call it.
    product (Product): what it is called in sentences.
    iconic (str): name of its iconic picture, "" if there is none.
    description (str): name of the file of its description, "" if there is none.
    """

    where: str
    number: str
    product: Product
    iconic: str
    description: str


def find_grocery(src: Path) -> Path | None:
    """RETURNS (Path | None): the folder of classes.csv, at or below the repository's,
    or below an unpacked archive of it."""
    for pattern in (CLASSES, f"dataset/{CLASSES}", f"*/dataset/{CLASSES}"):
        for path in sorted(src.glob(pattern)):
            return path.parent
    return None


def read_grocery(
    src: Path, images: Path | None = None, seed: int = 0
) -> PublishedDataset:
    """Read the Grocery Store Dataset, and give its photographs sentences.

    src (Path): the repository, or its folder `dataset`.
    images (Path | None): pictures from elsewhere, such as smaller ones, under the same
        names; None = those of the dataset.
    seed (int): chooses the entities' photographs, the nouns that only test has, and
        the sentences.
    RETURNS (PublishedDataset): a product is an entity, with its iconic picture and
        `KB_PHOTOGRAPHS` of train; every other photograph of a product that shares its
        noun with another one is a document. See `grocery_sentences.documents`.
    RAISES (DweError): a file is missing or malformed, or no such photograph is there.
    """
    folder = find_grocery(src)
    if folder is None:
        expected = ", ".join((CLASSES, *LISTS.values()))
        raise not_published(src, "the Grocery Store Dataset", (expected,))
    dataset = PublishedDataset(
        "GroceryStoreDataset", entities_from=CLASSES, picture_root=images or folder
    )
    dataset.descriptions = f"files that {CLASSES} names"
    classes = list(_classes(folder / CLASSES))
    pictures = _Pictures(images or folder, dataset.left_out)
    iconic = {each.product: pictures.iconic(each) for each in classes}
    listed = {
        split: pictures.listed(folder / name, classes) for split, name in LISTS.items()
    }
    shelves = {each.product: _shelf(each.product, listed, seed) for each in classes}
    for each in classes:
        entity = _entity(each, folder, dataset.left_out)
        dataset.entities[entity.id] = entity
        own = [*iconic[each.product], *shelves[each.product].pop("kb")]
        dataset.entity_images[entity.id] = own
    shared = shared_nouns(each.product for each in classes)
    unseen = unseen_nouns(shared, seed)
    for split in ("train", "dev", "test"):
        photographs = {
            product: shelves[product][split]
            for noun, products in shared.items()
            if split == "test" or noun not in unseen
            for product in products
        }
        samples = documents(split, photographs, unseen, seed)
        if samples:
            dataset.splits[split] = samples
    if not dataset.splits:
        n = sum(item.reason == ABSENT for item in dataset.left_out)
        raise DweError(Errors.E280.format(path=images or folder, n=n))
    return dataset


def shared_nouns(products: Iterable[Product]) -> dict[str, list[Product]]:
    """RETURNS (dict[str, list[Product]]): the products of each noun that several
    have."""
    by_noun: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        by_noun[product.noun].append(product)
    return {noun: products for noun, products in by_noun.items() if len(products) > 1}


def unseen_nouns(shared: Mapping[str, Sequence[object]], seed: int) -> set[str]:
    """Nouns that are kept for test.

    shared (Mapping[str, Sequence[object]]): what is called so, as `shared_nouns` gives
        it.
    RETURNS (set[str]): some with at most the share `UNSEEN` of the products, but at
        least one where there are two.
    """
    nouns = list(shared)
    random.Random(f"{seed} unseen").shuffle(nouns)
    room = UNSEEN * sum(len(products) for products in shared.values())
    chosen: set[str] = set()
    for noun in nouns:
        if len(shared[noun]) <= room:
            room -= len(shared[noun])
            chosen.add(noun)
    return chosen or set(nouns[: len(nouns) > 1])


def _classes(path: Path) -> Iterator[_Class]:
    """YIELDS (_Class): the lines of classes.csv.
    RAISES (DweError): a column or a value is missing."""
    lines = read_lines(path)
    number, header = next(lines, (1, ""))
    names = next(csv.reader([header]), [])
    missing = [name for name in COLUMNS.values() if name not in names]
    if missing:
        raise _malformed(path, number, f"no column {missing[0]!r}")
    places = {key: names.index(name) for key, name in COLUMNS.items()}
    for number, line in lines:
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        cells += [""] * (len(names) - len(cells))
        value = {key: cells[place] for key, place in places.items()}
        for key in ("name", "number", "noun"):
            if not value[key]:
                raise _malformed(path, number, f"a value of {COLUMNS[key]}")
        yield _Class(
            f"{path.name}, line {number}",
            value["number"],
            _product(value["name"], value["noun"]),
            value["iconic"].lstrip("/"),
            value["description"].lstrip("/"),
        )


def _product(name: str, coarse: str) -> Product:
    title, noun = name.replace("-", " "), coarse.replace("-", " ").lower()
    if noun not in title.lower():
        title = f"{title} {noun}"
    return Product(f"{GROCERY}:{name}", title, noun)


def _entity(each: _Class, folder: Path, left_out: list[LeftOut]) -> Entity:
    product, path = each.product, folder / each.description
    lines = [line for _, line in read_lines(path)] if path.is_file() else []
    if not lines:
        name = each.description or product.title
        left_out.append(LeftOut(each.where, name, "no such description"))
    is_title = product.noun == product.title.lower()
    aliases = () if is_title else (Alias(product.noun),)
    return Entity(product.id, product.title, " ".join(lines), aliases)


class _Pictures:
    """The pictures that are there, each content once."""

    def __init__(self, root: Path, left_out: list[LeftOut]) -> None:
        self._root, self._left_out = root, left_out
        self._first: dict[str, str] = {}
        self._taken: set[str] = set()

    def iconic(self, each: _Class) -> list[str]:
        """RETURNS (list[str]): the iconic picture of a product, if it is there."""
        if not (self._root / each.iconic).is_file():
            name = each.iconic or each.product.title
            self._left_out.append(LeftOut(each.where, name, "no such iconic picture"))
            return []
        self._first.setdefault(self._content(each.iconic), each.iconic)
        return [each.iconic]

    def listed(self, path: Path, classes: Sequence[_Class]) -> dict[Product, list[str]]:
        """RETURNS (dict[Product, list[str]]): the photographs of a list.
        RAISES (DweError): the list is missing, or a line is none of it."""
        products = {each.number: each.product for each in classes}
        found: dict[Product, list[str]] = defaultdict(list)
        for number, line in read_lines(path):
            name, _, rest = line.partition(",")
            product = products.get(rest.partition(",")[0].strip())
            if product is None:
                reason = f"a photograph and a Class ID of {CLASSES}"
                raise _malformed(path, number, reason)
            if self._is_new(name, f"{path.name}, line {number}"):
                found[product].append(name)
        return found

    def _is_new(self, name: str, where: str) -> bool:
        if not (self._root / name).is_file():
            self._left_out.append(LeftOut(where, name, ABSENT))
            return False
        first = self._first.setdefault(self._content(name), name)
        if first == name and name not in self._taken:
            self._taken.add(name)
            return True
        self._left_out.append(LeftOut(where, f"{name} is {first}", "listed before"))
        return False

    def _content(self, name: str) -> str:
        return content_hash((self._root / name).read_bytes())


def _shelf(
    product: Product, listed: Mapping[str, Mapping[Product, Sequence[str]]], seed: int
) -> dict[str, list[str]]:
    """RETURNS (dict[str, list[str]]): photographs of a product that are its entity's
    ("kb"), and those of each split."""
    own = {
        split: list(by_product.get(product, ())) for split, by_product in listed.items()
    }
    random.Random(f"{seed} {product.id}").shuffle(own["train"])
    kb, train = own["train"][:KB_PHOTOGRAPHS], own["train"][KB_PHOTOGRAPHS:]
    n_moved = max(DEV_PHOTOGRAPHS - len(own["dev"]), 0)
    dev = own["dev"] + train[:n_moved]
    return {"kb": kb, "train": train[n_moved:], "dev": dev, "test": own["test"]}


def _malformed(path: Path, line: int, expected: str) -> DweError:
    return DweError(Errors.E281.format(path=path, line=line, expected=expected))
