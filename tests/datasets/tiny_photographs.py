"""A set of photographs, each in one colour: six birds that share nouns, two of them two
nouns, and one with a name of its own."""

import json

from tiny_datasets import picture

BIRDS = {
    "Red-backed Oriole": (["oriole", "Icterus ruber"], (230, 20, 20)),
    "Green Oriole": (["oriole", "Icterus viridis"], (20, 230, 20)),
    "Blue Grebe": (["grebe", "Podiceps caeruleus"], (20, 20, 230)),
    "Yellow Grebe": (["grebe", "Podiceps luteus"], (230, 230, 20)),
    "Cyan Smew": (["duck", "merganser"], (20, 230, 230)),
    "Pink Goosander": (["duck", "merganser"], (230, 20, 230)),
    "Kiwi": (["Apteryx"], (90, 90, 90)),
}
"""Title: aliases and colour."""
NAMED = [title for title in BIRDS if title != "Kiwi"]
N = {"train": 6, "dev": 3}
"""Photographs of each bird that shares a noun."""


def photographs(folder):
    """RETURNS (Path): the folder, with entities.jsonl, train.jsonl and dev.jsonl."""
    entities = []
    for title, (aliases, _) in BIRDS.items():
        entities.append(
            {
                "id": id_of(title),
                "title": title,
                "description": f"The {title} ({aliases[-1]}) is a red bird.",
                "aliases": aliases,
                "images": [photograph(folder, title, f"kb-{i}", i) for i in range(4)],
                "url": f"https://birds.example/{id_of(title)}",
            }
        )
    write_lines(folder / "entities.jsonl", entities)
    for split, n in N.items():
        documents = [
            {"id": f"{split}-{title}-{i}-{kind}", **document}
            for place, title in enumerate(NAMED)
            for i in range(n)
            for kind, document in two_documents(folder, split, place, title, i).items()
        ]
        write_lines(folder / f"{split}.jsonl", documents)
    return folder


def two_documents(folder, split, place, title, i):
    """One that the photograph decides, and one that the text does: its photograph is
    the namesake's, or one of another noun."""
    noun = BIRDS[title][0][0]
    namesake = NAMED[place ^ 1]
    shown = namesake if i % 2 else NAMED[(place + 2) % len(NAMED)]
    text = f"The {title} is not rare. I saw the {noun}."
    wrong = "picture:namesake" if i % 2 else "picture:unrelated"
    return {
        "photograph": document(
            f"I saw the {noun}.",
            photograph(folder, title, f"{split}-{i}", i),
            title,
            ["undecidable", "picture:right", "name:seen", f"noun:{noun}"],
        ),
        "text": document(
            text,
            f"images/{id_of(shown)}/{split}-{i}.png",
            title,
            ["text", "text:full-name-nearby", wrong, "name:seen"],
        ),
    }


def document(text, image, title, groups):
    noun = BIRDS[title][0][0]
    start = text.rindex(noun)
    mention = {"start": start, "end": start + len(noun), "kb_id": id_of(title)}
    mention["groups"] = groups
    return {"text": text, "images": [image], "mentions": [mention], "note": "made"}


def photograph(folder, title, name, light):
    """RETURNS (str): a picture's path, relative to the folder."""
    path = f"images/{id_of(title)}/{name}.png"
    picture(folder / path, tuple(min(255, c + 5 * light) for c in BIRDS[title][1]))
    return path


def id_of(title):
    return f"bird:{title.replace(' ', '_')}"


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
