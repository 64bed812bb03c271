"""`python -m spacy dwe kb wikidata`: entities from dumps."""

from pathlib import Path
from typing import Annotated

import typer

from .errors import clear_errors, warning_lines


@clear_errors
def wikidata_cli(
    dump: Annotated[
        Path,
        typer.Argument(
            metavar="WIKIDATA_DUMP",
            help="Wikidata's JSON dump, such as latest-all.json.gz; .bz2 takes longer",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Entities to write (.jsonl, .jsonl.gz)"),
    ],
    wikipedia: Annotated[
        list[Path] | None,
        typer.Option(
            "--wikipedia",
            help="Dump of a Wikipedia, for descriptions, redirects and priors: "
            "…-pages-articles.xml.bz2 or …-cirrussearch-content.json.gz. May be given "
            "several times; descriptions are the first one's that has them",
        ),
    ] = None,
    languages: Annotated[
        str,
        typer.Option(
            "--languages",
            help="Languages of names, with commas between; titles are the first one's "
            "that has them",
        ),
    ] = "en",
    instance_of: Annotated[
        str,
        typer.Option(
            "--instance-of",
            help="Only items of these types, such as Q5,Q515; not of their subclasses",
        ),
    ] = "",
    sitelink: Annotated[
        str | None,
        typer.Option("--sitelink", help="Only items with a page there, such as enwiki"),
    ] = None,
    min_sitelinks: Annotated[
        int,
        typer.Option(
            "--min-sitelinks", min=0, help="Only items on so many Wikipedias; 0 for all"
        ),
    ] = 1,
    with_internal: Annotated[
        bool,
        typer.Option(
            "--with-internal",
            help="Also disambiguation pages, categories, templates, lists …",
        ),
    ] = False,
    description_chars: Annotated[
        int,
        typer.Option(
            "--description-chars", min=1, help="Length of descriptions, at most"
        ),
    ] = 1000,
    min_anchor_count: Annotated[
        int,
        typer.Option(
            "--min-anchor-count",
            min=1,
            help="Links with a text before it becomes an alias",
        ),
    ] = 2,
    min_prior: Annotated[
        float,
        typer.Option(
            "--min-prior",
            min=0.0,
            max=1.0,
            help="Share of a text's links that lead to an entity before it becomes an "
            "alias",
        ),
    ] = 0.001,
) -> None:
    """Make entities.jsonl of dumps of Wikidata and Wikipedia.

    Names, short descriptions and pictures are Wikidata's. With a dump of a Wikipedia
    come descriptions, redirects as aliases, and priors: how often a link's text leads
    to an entity. The work is kept beside OUT, in OUT.work, until OUT is complete: if it
    is stopped, the same command goes on with it.
    """
    from wasabi import Printer

    from ..kb.sources.dump_entities import NameChoice
    from ..kb.sources.dumps import convert_dumps
    from ..kb.sources.wikidata import ItemChoice

    msg = Printer()
    with warning_lines():
        account = convert_dumps(
            dump,
            out,
            wikipedia=wikipedia or (),
            items=ItemChoice(
                languages=_split(languages),
                instance_of=_split(instance_of),
                sitelink=sitelink,
                min_sitelinks=min_sitelinks,
                with_internal=with_internal,
            ),
            names=NameChoice(min_count=min_anchor_count, min_prior=min_prior),
            description_chars=description_chars,
            on_message=msg.info,
            show_progress=True,
        )
    for name, counts in account:
        msg.divider(name)
        msg.table({what: f"{count:,}" for what, count in counts.items()})
    msg.good(f"{out}: {account[-1][1]['entities']:,} entities")


def _split(values: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in values.split(",") if part.strip())
