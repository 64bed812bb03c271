"""`python -m spacy dwe coverage`: how much of the world the KB covers."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BAR_DELAY, DweError, Errors
from .errors import warning_lines
from .options import (
    COMPONENTS,
    ImageRootOption,
    KBOption,
    PipelineArgument,
    SeedOption,
    load_linking_pipeline,
    parse_overrides,
    takes_code,
    tell_features,
)

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..evaluation.coverage import Coverage
    from ..pipeline import DweLinker

SETTING = "kb_coverage"
LEAST, DIGITS = 0.001, 3
"""What is set is neither 0 nor 1: no documents show that nothing else is to come."""


@takes_code
def coverage_cli(
    ctx: typer.Context,
    pipeline: PipelineArgument,
    data: Annotated[
        Path, typer.Argument(help="Documents to be linked (.jsonl, .jsonl.gz)")
    ],
    kb: KBOption = None,
    image_root: ImageRootOption = None,
    save: Annotated[
        bool, typer.Option("--save", help="Set it in the folder of the pipeline")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Estimate what share of the mentions is of entities that the KB holds.

    No labels are needed; those that there are, are not read. Mentions are those of the
    documents, or what the pipeline finds where they have none. Other arguments are
    settings, such as --components.dwe_linker.channels '["name"]'.
    """
    coverage(
        pipeline,
        data,
        kb=kb,
        image_root=image_root,
        save=save,
        seed=seed,
        overrides=parse_overrides(ctx.args),
        show_progress=True,
    )


def coverage(
    pipeline: str | Path,
    data: Path,
    *,
    kb: Path | None = None,
    image_root: Path | None = None,
    save: bool = False,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    show_progress: bool = False,
) -> "Coverage":
    """Estimate the coverage of a pipeline's KB, see `coverage_cli`.

    pipeline, kb, overrides: as in `load_linking_pipeline`.
    RETURNS (Coverage): see `estimate_coverage`.
    RAISES (DweError): there is no mention, no KB, or no folder to save to.
    """
    from wasabi import Printer

    from ..files import require_file, write_text

    require_file(data)
    config = Path(pipeline) / "config.cfg"
    if save and not config.is_file():
        raise DweError(Errors.E543.format(pipeline=pipeline))
    with warning_lines(silent=not show_progress):
        nlp, linker = load_linking_pipeline(pipeline, kb, None, overrides)
        docs = _docs(nlp, data, image_root, str(pipeline), show_progress)
        found = _estimate(linker, docs, data, seed)
    value = round(min(max(found.share, LEAST), 1 - LEAST), DIGITS)
    msg = Printer(no_print=not show_progress, pretty=show_progress)
    msg.text(
        f"The KB holds the entities of {found.share:.1%} ({found.low:.1%} to "
        f"{found.high:.1%}) of {found.n_mentions:,} mentions in "
        f"{found.n_documents:,} documents"
    )
    tell_features(msg, linker)
    if save:
        text = config.read_text(encoding="utf-8")
        write_text(
            config, with_setting(text, f"{COMPONENTS}{linker.name}", value, pipeline)
        )
        msg.good(f"Set {SETTING} = {value} in {config}")
    else:
        msg.text(f"To link by it: --{COMPONENTS}{linker.name}.{SETTING} {value}")
    return found


def with_setting(
    config: str, section: str, value: float, pipeline: str | Path = ""
) -> str:
    """RETURNS (str): a config with the coverage set in a section, and nothing else
    changed.
    RAISES (DweError): it has no such section.
    """
    header = re.search(rf"^\[{re.escape(section)}\]\n", config, re.MULTILINE)
    if header is None:
        raise DweError(Errors.E543.format(pipeline=pipeline))
    before, after = config[: header.end()], config[header.end() :]
    own, bracket, rest = re.split(r"(^\[|\Z)", after, maxsplit=1, flags=re.MULTILINE)
    line = f"{SETTING} = {value}\n"
    changed, n = re.subn(rf"^{SETTING} *=.*\n?", line, own, flags=re.MULTILINE)
    return before + (changed if n else line + own) + bracket + rest


def _estimate(
    linker: "DweLinker", docs: "Iterator[Doc]", data: Path, seed: int
) -> "Coverage":
    import numpy as np
    from spacy.util import minibatch

    from ..evaluation.bootstrap import document_index
    from ..evaluation.coverage import estimate_coverage, log_odds_of_links
    from ..evaluation.evaluate import BATCH_DOCUMENTS, linker_settings
    from ..tokens import DOCUMENT_ID

    odds, names = [], []
    with linker_settings(linker, {SETTING: None}):
        assumed, _ = linker.coverages
        for some in minibatch(docs, BATCH_DOCUMENTS):
            scored = linker.score_mentions(some)
            odds.append(log_odds_of_links(scored))
            names += [str(some[each.doc].user_data[DOCUMENT_ID]) for each in scored]
    if not names:
        raise DweError(Errors.E544.format(path=data))
    documents = document_index(names)
    return estimate_coverage(np.concatenate(odds), assumed, documents, seed=seed)


def _docs(
    nlp: "Language",
    data: Path,
    image_root: Path | None,
    pipeline: str,
    show_progress: bool,
) -> "Iterator[Doc]":
    """YIELDS (Doc): documents with their mentions, or those that the pipeline finds, as
    they come to the linker."""
    from itertools import groupby

    from tqdm import tqdm

    from ..documents import make_docs, read_documents
    from ..evaluation.evaluate import run_before_linker
    from ..spans import mention_finders

    finds = bool(mention_finders(nlp))
    documents = tqdm(
        read_documents(data, image_root),
        unit=" docs",
        delay=BAR_DELAY,
        leave=False,
        disable=not show_progress,
    )
    for given, some in groupby(documents, lambda d: d.mentions is not None):
        made = []
        for document in some:
            if not (given or finds):
                raise DweError(Errors.E232.format(id=document.id, pipeline=pipeline))
            made += make_docs(nlp, document)
        yield from run_before_linker(nlp, made, finding=not given)
