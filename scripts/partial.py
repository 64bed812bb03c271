"""`python scripts/partial.py`: mentions that only text and picture together decide."""

import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from clues.account import COUNTS, account_of
from clues.attributes import Namesakes, namesakes_of
from clues.canvases import Canvases, record
from clues.errors import Errors
from clues.plan import Photographs, Planned, planned
from clues.rings import MOST_CANVASES, rings_of
from spacy_dwe.cli.errors import clear_errors
from spacy_dwe.datasets.grocery import unseen_nouns
from spacy_dwe.errors import DweError

RIGHT = "picture:right"
"""Group of mentions whose picture shows their entity."""
FOR_TEST = 0.6
"""Share of the photographs of dev.jsonl that test has."""
ACCOUNT = "account.json"
VARIANTS = ("whole", "regions", "several")

Size = Annotated[int, typer.Option(min=1, help="Mentions of the split, about")]


def partial_cli(
    folder: Annotated[
        Path,
        typer.Argument(help="entities.jsonl, train.jsonl, dev.jsonl, with pictures"),
    ],
    out: Annotated[
        Path, typer.Argument(help="Folder of the set, replaced if it is one")
    ],
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn")] = 0,
    train: Size = 3000,
    dev: Size = 300,
    test: Size = 720,
) -> None:
    """Make a set of mentions that only text and picture together decide, from
    photographs of namesakes whose descriptions tell the colours of parts.

    OUT gets whole, regions and several with train.jsonl, dev.jsonl and test.jsonl each,
    their images, and account.json: counts, and how many mentions can be right at most
    by the text alone and by the picture alone
    """
    from wasabi import msg

    sizes = {"train": train, "dev": dev, "test": test}
    account = make_partial(folder, out, sizes=sizes, seed=seed)
    rows = [
        (variant, split, *(account[variant][split][key] for key in COUNTS))
        for variant in VARIANTS
        for split in sizes
    ]
    msg.table(rows, header=("variant", "split", *COUNTS), divider=True)
    msg.good(f"Wrote {out}")


def make_partial(
    folder: Path, out: Path, *, sizes: Mapping[str, int], seed: int = 0
) -> dict[str, Any]:
    """Make the set, see `partial_cli`.

    sizes (Mapping[str, int]): mentions wanted of train, dev and test.
    RETURNS (dict[str, Any]): what account.json holds.
    RAISES (DweError): nothing can be made of the folder.
    """
    from spacy_dwe.files import replacing_folder, write_json, write_jsonl

    if out.exists() and any(out.iterdir()) and not (out / ACCOUNT).is_file():
        raise DweError(Errors.E285.format(path=out))
    source = _Source.read(folder, seed)
    account: dict[str, Any] = {}
    with replacing_folder(out) as draft:
        canvases = Canvases(draft / "images")
        for variant in VARIANTS:
            together = variant == "several"
            splits = source.plan(sizes, together=together, seed=seed)
            for split, documents in splits.items():
                records = [
                    record(
                        f"{variant}-{split}-{i:05}",
                        each,
                        canvases,
                        boxes=variant != "whole",
                        unseen=each.noun in source.unseen,
                    )
                    for i, each in enumerate(documents)
                ]
                write_jsonl(draft / variant / f"{split}.jsonl", records)
            account[variant] = {s: account_of(own) for s, own in splits.items()}
        write_json(draft / ACCOUNT, account)
    return account


@dataclass(frozen=True)
class _Source:
    """What a folder has to make a set of.

    path (Path): of the folder.
    namesakes (Sequence[Namesakes]): who share a noun.
    photographs (Mapping[str, Photographs]): by split; no two splits share one.
    unseen (Collection[str]): nouns that only test has.
    """

    path: Path
    namesakes: Sequence[Namesakes]
    photographs: Mapping[str, Photographs]
    unseen: Collection[str]

    @classmethod
    def read(cls, folder: Path, seed: int) -> "_Source":
        """RAISES (DweError): the descriptions tell nothing."""
        from spacy_dwe.kb.entity import read_entities

        path = folder / "entities.jsonl"
        namesakes = namesakes_of(
            (each.id, [alias.alias for alias in each.aliases], each.description)
            for each in read_entities(path)
        )
        photographs = _splits(folder, seed)
        shared = {
            each.noun: [*each.colours]
            for each in namesakes
            if rings_of(each, photographs["train"])
        }
        if not shared:
            raise DweError(Errors.E283.format(path=path))
        return cls(folder, namesakes, photographs, unseen_nouns(shared, seed))

    def plan(
        self, sizes: Mapping[str, int], *, together: bool, seed: int
    ) -> dict[str, list[Planned]]:
        """RETURNS (dict[str, list[Planned]]): documents, by split.
        RAISES (DweError): there are no photographs for one."""
        splits = {}
        for split, n_mentions in sizes.items():
            photographs = self.photographs[split]
            most = 2 if together else MOST_CANVASES
            rings = [
                ring
                for each in self.namesakes
                if split == "test" or each.noun not in self.unseen
                for ring in rings_of(each, photographs, most)
            ]
            splits[split] = planned(
                rings,
                photographs,
                split,
                n_mentions=n_mentions,
                together=together,
                seed=seed,
            )
            if not splits[split]:
                raise DweError(
                    Errors.E284.format(path=self.path, split=split, group=RIGHT)
                )
        return splits


def _splits(folder: Path, seed: int) -> dict[str, dict[str, list[str]]]:
    """RETURNS (dict[str, dict[str, list[str]]]): photographs by split and id: those of
    train.jsonl, and some of dev.jsonl each for dev and test."""
    splits: dict[str, dict[str, list[str]]] = {
        "train": _photographs(folder / "train.jsonl"),
        "dev": {},
        "test": {},
    }
    known = {path for own in splits["train"].values() for path in own}
    for id_, paths in _photographs(folder / "dev.jsonl").items():
        own = [path for path in paths if path not in known]
        random.Random(f"{seed} {id_}").shuffle(own)
        n = round(FOR_TEST * len(own))
        splits["test"][id_], splits["dev"][id_] = own[:n], own[n:]
    return {
        split: {id_: own for id_, own in of.items() if own}
        for split, of in splits.items()
    }


def _photographs(path: Path) -> dict[str, list[str]]:
    """RETURNS (dict[str, list[str]]): paths of the pictures that show their mention's
    entity, by its id."""
    from spacy_dwe.documents import read_documents

    found: dict[str, set[str]] = defaultdict(set)
    for document in read_documents(path):
        for mention in document.mentions or ():
            if RIGHT in mention.groups and mention.kb_id and document.images:
                found[mention.kb_id].add(document.images[0].name)
    return {id_: sorted(paths) for id_, paths in found.items()}


partial_app = typer.Typer(add_completion=False, rich_markup_mode=None)
partial_app.command(no_args_is_help=True)(clear_errors(partial_cli))

if __name__ == "__main__":
    partial_app()
