"""The rows of the places sample: what each may use, and how well it then links."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places.comparison import flip_rate, paired_difference
from spacy_dwe.documents import Document, make_docs, read_documents
from spacy_dwe.errors import DweError, Errors
from spacy_dwe.evaluation.bootstrap import DRAWS
from spacy_dwe.evaluation.evaluate import Evaluation, evaluate_docs

if TYPE_CHECKING:
    from spacy.language import Language

    from spacy_dwe.pipeline import DweLinker

UNDECIDABLE = "undecidable"
UNSEEN = "unseen"
TEST, PERMUTED, SWAPPED = "test", "test-permuted", "test-swapped"
SWAPPED_TO = "swapped_to"
"""Key of a mention or its document: the namesake whose picture was put in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results.

    name (str): also the name of its metrics file.
    model (str): which of the trained pipelines links.
    note (str): what the row is for.
    data (str): stem of the documents' file in the corpus.
    channels (tuple[str, ...] | None): None: all that the model was trained with.
    candidates (str | None): see `evaluate_docs`.
    use_images (bool): False takes all pictures away.
    """

    name: str
    model: str
    note: str
    data: str = TEST
    channels: tuple[str, ...] | None = None
    candidates: str | None = None
    use_images: bool = True


DWE, NO_DWE, TEXT_ONLY = "dwe", "no-dwe", "text-only"

ROWS = (
    Row(
        "name-only",
        DWE,
        "the mention’s words and how often they mean an entity",
        channels=("name", "prior"),
    ),
    Row(TEXT_ONLY, TEXT_ONLY, "trained and run without pictures", use_images=False),
    Row(
        "image-only",
        DWE,
        "the picture alone against every entity",
        channels=("image",),
        candidates="all",
    ),
    Row(
        "image-among-namesakes",
        DWE,
        "the picture alone among entities of the mention’s name",
        channels=("image",),
        candidates="exact",
    ),
    Row(NO_DWE, NO_DWE, "all channels but dwe, weights fitted"),
    Row("dwe-only", DWE, "the trained query alone", channels=("dwe",)),
    Row(DWE, DWE, "everything"),
    Row(PERMUTED, DWE, "everything, pictures permuted over mentions", data=PERMUTED),
    Row(SWAPPED, DWE, "everything, pictures swapped within a name pair", data=SWAPPED),
)


@dataclass(frozen=True, slots=True)
class RowResult:
    """documents (Mapping[str, Document]): what was linked, by id."""

    row: Row
    evaluation: Evaluation
    documents: Mapping[str, Document]


Pipelines = Mapping[str, "tuple[Language, DweLinker]"]


def run_rows(
    pipelines: Pipelines,
    corpus: Path,
    *,
    image_root: Path | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, RowResult]:
    """Evaluate every row, and compare dwe with no-dwe.

    pipelines (Pipelines): pipeline and linker by name: dwe, no-dwe, text-only.
    corpus (Path): folder with test.jsonl, test-permuted.jsonl and test-swapped.jsonl.
    image_root (Path | None): where relative pictures start; None: the corpus.
    progress (Callable[[str], None] | None): called with the name of each row that ends.
    RETURNS (dict[str, RowResult]): by row name. The metrics of dwe hold the paired
        "difference" to no-dwe, those of test-swapped the "swap": how often the link of
        an undecidable mention follows the picture.
    """
    files = {
        name: list(read_documents(corpus / f"{name}.jsonl", image_root))
        for name in (TEST, PERMUTED, SWAPPED)
    }
    results: dict[str, RowResult] = {}
    for row in ROWS:
        if row.model not in pipelines:
            choices = ", ".join(pipelines)
            raise DweError(
                Errors.E413.format(what="model", value=row.model, choices=choices)
            )
        nlp, linker = pipelines[row.model]
        documents = files[row.data]
        docs = chain.from_iterable(
            make_docs(nlp, document, with_gold=True) for document in documents
        )
        evaluation = evaluate_docs(
            nlp,
            linker,
            docs,
            candidates=row.candidates,
            channels=row.channels,
            use_images=row.use_images,
            draws=draws,
            seed=seed,
            source=str(corpus / f"{row.data}.jsonl"),
        )
        by_id = {document.id: document for document in documents}
        results[row.name] = RowResult(row, evaluation, by_id)
        if progress is not None:
            progress(row.name)
    _compare(results, draws, seed)
    return results


def swap_targets(result: RowResult) -> Iterator[str | None]:
    """For each outcome, the namesake whose picture its mention was given."""
    for outcome in result.evaluation.outcomes:
        document = result.documents[outcome.document]
        for mention in document.mentions or ():
            if mention.start <= outcome.start < mention.end:
                yield mention.source.get(SWAPPED_TO, document.source.get(SWAPPED_TO))
                break


def _compare(results: dict[str, RowResult], draws: int, seed: int) -> None:
    left = results[DWE].evaluation.outcomes
    right = results[NO_DWE].evaluation.outcomes
    options: Any = {"draws": draws, "seed": seed}
    groups = sorted({group for outcome in left for group in outcome.groups})
    results[DWE].evaluation.metrics["difference"] = {
        "to": NO_DWE,
        **paired_difference(left, right, **options),
        "by": {
            group: paired_difference(
                [o for o in left if group in o.groups],
                [o for o in right if group in o.groups],
                **options,
            )
            for group in groups
        },
    }
    swapped = results[SWAPPED]
    targets = [
        target if UNDECIDABLE in outcome.groups else None
        for outcome, target in zip(swapped.evaluation.outcomes, swap_targets(swapped))
    ]
    swap = flip_rate(swapped.evaluation.outcomes, targets, **options)
    swapped.evaluation.metrics["swap"] = swap
