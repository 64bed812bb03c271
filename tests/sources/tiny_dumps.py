"""Writes small dumps in the form that Wikimedia's have, packed as theirs are."""

import bz2
import gzip
import json
from xml.sax.saxutils import escape, quoteattr

NAMESPACES = {-2: "Media", -1: "Special", 0: "", 1: "Talk", 2: "User", 4: "Wikipedia"}
NAMESPACES |= {6: "File", 10: "Template", 14: "Category", 100: "Portal"}


def write_packed(path, members):
    """Write members one after the other, each packed by itself if the name says so:
    multistream bzip2, concatenated gzip."""
    pack = {".bz2": bz2.compress, ".gz": gzip.compress}.get(path.suffix, bytes)
    path.write_bytes(b"".join(map(pack, members)))
    return path


def entity_value(item):
    return {"entity-type": "item", "numeric-id": int(item[1:]), "id": item}


def statement(name, value, rank="normal"):
    """A statement; the values None and ... are Wikidata's "no" and "some" value."""
    if value is None or value is ...:
        kind = "novalue" if value is None else "somevalue"
        snak = {"snaktype": kind, "property": name, "hash": "e1"}
    else:
        type_ = "wikibase-entityid" if isinstance(value, dict) else "string"
        datavalue = {"value": value, "type": type_}
        snak = {"snaktype": "value", "property": name, "datavalue": datavalue}
    return {"mainsnak": snak, "type": "statement", "id": "Q$1", "rank": rank}


def item(
    id,
    labels=None,
    aliases=None,
    descriptions=None,
    types=(),
    pages=None,
    images=(),
    claims=None,
):
    """An item of a Wikidata dump. `labels`, `descriptions` and `pages` map languages,
    or wikis, to a text, `aliases` languages to several."""

    def texts(values):
        # PHP writes an empty map as an empty list.
        return {k: {"language": k, "value": v} for k, v in (values or {}).items()} or []

    found = {"P31": [statement("P31", entity_value(name)) for name in types]}
    found["P18"] = [statement("P18", name) for name in images]
    found |= claims or {}
    links = {
        wiki: {"site": wiki, "title": title, "badges": []}
        for wiki, title in (pages or {}).items()
    }
    return {
        "type": "item",
        "id": id,
        "labels": texts(labels),
        "descriptions": texts(descriptions),
        "aliases": {
            language: [{"language": language, "value": value} for value in values]
            for language, values in (aliases or {}).items()
        }
        or [],
        "claims": {name: values for name, values in found.items() if values} or [],
        "sitelinks": links or [],
        "lastrevid": 1,
    }


def write_wikidata(path, entities, member=2):
    """Write a Wikidata dump.

    entities: dicts, or bytes to stand as a line.
    member: lines in each packed member.
    """
    lines = [
        entity if isinstance(entity, bytes) else json.dumps(entity).encode()
        for entity in entities
    ]
    whole = b"[\n" + b",\n".join(lines) + b"\n]\n"
    parts = whole.splitlines(keepends=True)
    members = [b"".join(parts[i : i + member]) for i in range(0, len(parts), member)]
    return write_packed(path, members)


def page(title, text="", ns=0, redirect=None, id=1):
    """A page of an XML dump."""
    to = f"    <redirect title={quoteattr(redirect)} />\n" if redirect else ""
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{ns}</ns>\n"
        f"    <id>{id}</id>\n{to}    <revision>\n      <id>{id}</id>\n"
        "      <timestamp>2024-01-01T00:00:00Z</timestamp>\n"
        "      <contributor>\n        <username>U</username>\n      </contributor>\n"
        "      <model>wikitext</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="{len(text.encode())}" xml:space="preserve">'
        f"{escape(text)}</text>\n      <sha1>x</sha1>\n    </revision>\n  </page>\n"
    )


def redirect(title, target, section="", word="REDIRECT"):
    link = f"{target}#{section}" if section else target
    return page(title, f"#{word} [[{link}]]", redirect=target)


def write_xml(path, pages, wiki="enwiki", namespaces=NAMESPACES, member=2):
    """Write an XML dump. Header, pages and end have streams of their own, as in
    Wikimedia's multistream files."""
    spaces = "\n".join(
        f'      <namespace key="{key}" case="first-letter">{name}</namespace>'
        for key, name in namespaces.items()
    )
    header = (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="0.11" '
        'xml:lang="en">\n  <siteinfo>\n    <sitename>Wikipedia</sitename>\n'
        f"    <dbname>{wiki}</dbname>\n    <case>first-letter</case>\n"
        f"    <namespaces>\n{spaces}\n    </namespaces>\n  </siteinfo>\n"
    )
    groups = ["".join(pages[i : i + member]) for i in range(0, len(pages), member)]
    members = [header, *groups, "</mediawiki>\n"]
    return write_packed(path, [text.encode() for text in members])


def document(title, wiki="enwiki", ns=0, redirects=(), **fields):
    """A document of a CirrusSearch dump."""
    return {
        "title": title,
        "wiki": wiki,
        "namespace": ns,
        "namespace_text": "" if ns == 0 else "Talk",
        "language": "en",
        "redirect": [{"namespace": 0, "title": name} for name in redirects],
        **fields,
    }


def write_cirrus(path, documents, member=2):
    """Write a CirrusSearch dump. A document may be bytes, to stand as a line."""
    lines = []
    for number, entry in enumerate(documents):
        index = {"index": {"_type": "_doc", "_id": str(number)}}
        lines.append(json.dumps(index, separators=(",", ":")).encode())
        lines.append(entry if isinstance(entry, bytes) else json.dumps(entry).encode())
    members = [
        b"".join(line + b"\n" for line in lines[i : i + member])
        for i in range(0, len(lines), member)
    ]
    return write_packed(path, members)


def read_entities(path):
    """RETURNS (dict): the objects of entities.jsonl by their ids."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {entity["id"]: entity for entity in map(json.loads, lines)}
