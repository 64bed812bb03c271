"""`python -m spacy dwe account`: what a folder of entities and documents holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

SAMPLES = {
    "samples": "samples",
    "without a mention": "without_mention",
    "mentions": "mentions",
    "NIL": "nil",
    "unlabelled": "unlabelled",
    "labelled twice": "repeated",
    "not word for word in their sentence": "not_word_for_word",
    "found but for case or space": "found_but_for_case_or_space",
    "put in front of their sentence": "added",
    "gold is no entity": "gold_not_an_entity",
    "samples with a picture": "with_image",
    "with the URL of one": "with_image_url",
    "with one that cannot be read": "with_unreadable_image",
    "without a picture": "without_image",
}
ENTITIES = {
    "entities": "entities",
    "without description": "without_description",
    "without picture": "without_image",
    "titles that several share": "shared_titles",
    "entities with such a title": "entities_with_shared_title",
}
WIDEST = 80
"""Characters of the widest column."""


def account_cli(
    folder: Annotated[
        Path, typer.Argument(help="Folder with entities.jsonl and documents")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="[default: FOLDER/account.json]"),
    ] = None,
) -> None:
    """Count entities, samples and mentions, and what gives answers away.

    Every .jsonl file of the folder but entities.jsonl is a split; `train` and
    `held-out` are what a model may learn from.
    """
    account_of(folder, output=output, silent=False)


def account_of(
    folder: Path, *, output: Path | None = None, silent: bool = True
) -> dict[str, Any]:
    """Make the account of a folder, see `account_cli`.

    RETURNS (dict[str, Any]): what account.json holds.
    """
    from wasabi import Printer

    from ..datasets.published_files import ACCOUNT
    from ..datasets.statistics import conversion_of, dataset_statistics
    from ..files import require_writable, write_json

    path = folder / ACCOUNT if output is None else output
    if folder.is_dir():
        require_writable(path)
    result = dataset_statistics(folder, conversion_of(folder), not silent)
    write_json(path, result)
    msg = Printer(no_print=silent, pretty=not silent)
    print_account(msg, result)
    msg.good(f"Wrote {path}")
    return result


def print_account(msg: Any, result: Mapping[str, Any]) -> None:
    """Print account.json as tables.

    msg (Printer): wasabi's.
    """
    conversion = result.get("conversion")
    if conversion:
        msg.divider("As published")
        msg.table(_conversion_rows(conversion), max_col=WIDEST)
    msg.divider("Entities")
    counts = result["entities"]
    rows = [(name, f"{counts[key]:,}") for name, key in ENTITIES.items()]
    msg.table(rows, max_col=WIDEST, aligns=("l", "r"))
    msg.divider("Samples")
    _print_by_split(msg, result["splits"], SAMPLES)
    msg.divider("What gives answers away")
    msg.table(_leak_rows(result), max_col=WIDEST, aligns=("l", "r"))


def _print_by_split(
    msg: Any, splits: Mapping[str, Mapping[str, int]], names: Mapping[str, str]
) -> None:
    rows = [
        [name, *(f"{counts[key]:,}" for counts in splits.values())]
        for name, key in names.items()
        if key in ("samples", "mentions") or any(c[key] for c in splits.values())
    ]
    aligns = ["l"] + ["r"] * len(splits)
    header = ["", *splits]
    msg.table(rows, header=header, divider=True, aligns=aligns, max_col=WIDEST)


def _conversion_rows(conversion: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("layout", conversion["layout"]),
        ("entities from", conversion["entities_from"]),
        ("descriptions from", conversion["descriptions_from"]),
        ("samples", f"{conversion['distinct_samples']:,}"),
    ]
    if "described_from_file" in conversion:
        n = conversion["described_from_file"]
        rows.append(("entities described there", f"{n:,}"))
    for key, what in (
        ("split_ids_without_sample", "split ids without a sample"),
        ("same_sample_in_two_splits", "samples in two splits"),
        ("published_offsets_not_used", "published offsets that do not fit"),
        ("images_not_found", "pictures not found"),
    ):
        counts = conversion[key]
        if counts:
            shown = ", ".join(f"{name} {n:,}" for name, n in counts.items())
            rows.append((what, shown))
    if "hold_out" in conversion:
        held = conversion["hold_out"]
        rows.append(("held out of train", f"{held['samples']:,} (seed {held['seed']})"))
    rows.append(("left out", f"{conversion['left_out']:,}"))
    return rows


def _leak_rows(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    texts = result["texts"]
    rows = [
        (f"texts that {name} repeats", f"{n:,}")
        for name, n in texts["repeated_within"].items()
        if n
    ]
    for names, counts in texts["repeated_between"].items():
        shown = f"{counts['equal']:,} equal, {counts['similar']:,} similar"
        rows.append((f"texts of {names}", shown))
    for name, counts in result["images"].items():
        rows.append(
            (f"pictures of {name} that are an entity's", f"{counts['also_entity']:,}")
        )
        rows.append(
            (f"pictures of {name} that are in train", f"{counts['also_train']:,}")
        )
    for name, counts in result["golds_seen_in_train"].items():
        rows.append((f"golds of {name} seen in train", _percent(counts["share"])))
    for name, probe in result["name_alone"].items():
        rows += [
            (f"Top-1 by name alone, {name}", _percent(probe["top1"])),
            ("  golds of train deleted", _percent(probe["top1_without_train_golds"])),
        ]
        if probe["n_left"] not in (0, probe["n"]):
            unseen = _percent(probe["top1_left"])
            deleted = _percent(probe["top1_left_without_train_golds"])
            rows.append((f"  of {probe['n_left']:,} not seen in train", unseen))
            rows.append(("  golds of train deleted", deleted))
    return rows


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
