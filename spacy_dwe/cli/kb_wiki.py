"""`python -m spacy dwe kb wikidata` and `kb wikipedia`: entities of dumps, or asked of
Wikipedia itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DweError, Errors
from .errors import clear_errors, warning_lines
from .kb_pictures import ContactOption, RetriesOption, next_step
from .options import EntitiesOut, split_commas

if TYPE_CHECKING:
    from ..sources.wikipedia import TitleCounts


@clear_errors
def wikidata_cli(
    dump: Annotated[
        Path,
        typer.Argument(
            metavar="WIKIDATA_DUMP",
            help="Wikidata's JSON dump, such as latest-all.json.gz; .bz2 takes longer",
        ),
    ],
    out: EntitiesOut,
    wikipedia: Annotated[
        list[Path] | None,
        typer.Option(
            help="Dump of a Wikipedia, for descriptions, redirects and priors: "
            "…-pages-articles.xml.bz2 or …-cirrussearch-content.json.gz. May be given "
            "several times; descriptions are the first one's that has them"
        ),
    ] = None,
    languages: Annotated[
        str,
        typer.Option(
            help="Languages of names, with commas between; titles are the first one's "
            "that has them"
        ),
    ] = "en",
    instance_of: Annotated[
        str,
        typer.Option(
            help="Only items of these types, such as Q5,Q515; not of their subclasses"
        ),
    ] = "",
    sitelink: Annotated[
        str | None, typer.Option(help="Only items with a page there, such as enwiki")
    ] = None,
    min_sitelinks: Annotated[
        int, typer.Option(min=0, help="Only items on so many Wikipedias; 0 for all")
    ] = 1,
    with_internal: Annotated[
        bool,
        typer.Option(
            "--with-internal",
            help="Also disambiguation pages, categories, templates, lists …",
        ),
    ] = False,
    description_chars: Annotated[
        int, typer.Option(min=1, help="Length of descriptions, at most")
    ] = 1000,
    min_anchor_count: Annotated[
        int, typer.Option(min=1, help="Links with a text before it becomes an alias")
    ] = 2,
    min_prior: Annotated[
        float,
        typer.Option(
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

    from ..sources.dumps import NameChoice, convert_dumps
    from ..sources.wikidata import ItemChoice

    msg = Printer()
    with warning_lines():
        stages = convert_dumps(
            dump,
            out,
            wikipedia=wikipedia or (),
            items=ItemChoice(
                languages=tuple(split_commas(languages)),
                instance_of=tuple(split_commas(instance_of)),
                sitelink=sitelink,
                min_sitelinks=min_sitelinks,
                with_internal=with_internal,
            ),
            names=NameChoice(min_count=min_anchor_count, min_prior=min_prior),
            description_chars=description_chars,
            on_message=msg.info,
            show_progress=True,
        )
    for name, counts in stages:
        msg.divider(name)
        msg.table({what: f"{count:,}" for what, count in counts.items()})
    counts = stages[-1][1]
    msg.good(f"{out}: {counts['entities']:,} entities")
    if counts["with a picture"]:
        typer.echo(next_step(out))


@clear_errors
def wikipedia_cli(
    titles: Annotated[
        Path,
        typer.Argument(
            help="Text file with a title or a page's address a line (.txt, .gz)"
        ),
    ],
    out: EntitiesOut,
    contact: ContactOption = None,
    language: Annotated[
        str, typer.Option(help="Wikipedia of titles that do not name theirs")
    ] = "en",
    download_images: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; else URLs are written")
    ] = None,
    image_width: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of the pictures, in pixels: 250, 330, 500 and 960 are at hand at "
            "Wikimedia; 0 = the originals",
        ),
    ] = 500,
    keep_disambiguation: Annotated[
        bool,
        typer.Option(
            "--keep-disambiguation", help="Take disambiguation pages for entities"
        ),
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Where answers are kept [default: OUT.cache]")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask again for what the cache has")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=0.01, help="Requests a second, at most")
    ] = 1.0,
    retries: RetriesOption = 8,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for an answer")
    ] = 30.0,
    api_url: Annotated[
        str, typer.Option(help="API of the wiki; {lang} is the language")
    ] = "https://{lang}.wikipedia.org/w/api.php",
) -> None:
    """Make entities of Wikipedia's pages, for `kb build`.

    TITLES has a title a line (Georgia (country), de:Georgien, or a page's address);
    lines that start with # are comments. An entity has the Wikidata id, the intro as
    description, the redirects as aliases and the lead picture. 20 titles go into one
    request, one request a second: 100,000 titles take an hour and a half.

    Answers are kept beside OUT, so that a run that was stopped goes on where it was.
    Titles that lead to no article are listed in OUT.left-out.tsv. Give your e-mail
    address or URL by --contact or DWE_CONTACT.
    """
    from wasabi import Printer

    from ..sources.mediawiki import MediaWiki
    from ..sources.wikipedia import cache_path, fetch_wikipedia, left_out_path

    if contact is None:
        raise DweError(Errors.E120.format(contact=""))
    wiki = MediaWiki(
        contact, api_url=api_url, rate=rate, retries=retries, timeout=timeout
    )
    with wiki, warning_lines():
        try:
            counts = fetch_wikipedia(
                titles,
                out,
                wiki,
                language=language,
                cache=cache,
                refresh=refresh,
                image_width=image_width,
                download_images=download_images,
                keep_disambiguation=keep_disambiguation,
                show_progress=True,
            )
        except KeyboardInterrupt:
            kept = cache or cache_path(out)
            typer.echo(f"\nAnswers are kept in {kept}: run again to go on", err=True)
            raise
    msg = Printer()
    msg.good(
        f"{out}: {counts.entities:,} entities, {counts.described:,} with a "
        f"description, {counts.pictured:,} with a picture"
    )
    msg.text(_line(counts))
    if counts.left_out:
        msg.text(f"Titles without an entity are listed in {left_out_path(out)}")
    if counts.pictured and download_images is None:
        typer.echo(next_step(out))


def _line(counts: "TitleCounts") -> str:
    """RETURNS (str): what became of the titles."""
    kinds = {
        "missing": "missing",
        "invalid": "invalid",
        "disambiguation": "disambiguation pages",
        "other": "no articles",
    }
    shown = [
        (counts.entities, "entities"),
        (counts.repeated, "repeated"),
        *((counts.left_out[kind], text) for kind, text in kinds.items()),
    ]
    parts = [f"{count:,} {text}" for count, text in shown if count]
    line = f"{counts.titles:,} titles: {', '.join(parts)}"
    if counts.redirected:
        line += f"; {counts.redirected:,} by a redirect"
    return f"{line}. {counts.requests:,} requests"
