"""Small datasets in the layouts in which the real ones are published."""

import json

from PIL import Image


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def record(identifier, sentence, mentions, entities, answer):
    return {
        "id": identifier,
        "sentence": sentence,
        "mentions": mentions,
        "entities": entities,
        "answer": answer,
    }


TITLES = {"Q1": "Ada Berg", "Q2": "Ada Berg", "Q3": "Otto Kern", "Q4": "Eva Lind"}


def richpedia(folder):
    """Two train samples and two of test, one not word for word in its sentence."""
    train = {
        "Q1": record("Q1", "Ada Berg wrote odes.", "Ada Berg", "Ada Berg", "Q1"),
        "Q2": record("Q2", "Berg sang.", "Berg", "Ada Berg", "Q2"),
    }
    test = {
        "Q3": record("Q3", "Kern sang well.", "Otto Kern", "Otto Kern", "Q3"),
        "Q4": record("Q4", "ada berg wrote odes", "BERG", "Eva Lind", "Q4"),
    }
    write(folder / "train.json", train)
    write(folder / "test.json", test)
    write(folder / "qid2ne.json", TITLES)
    write(folder / "ne2qid.json", {name: qid for qid, name in TITLES.items()})
    write(folder / "qid2abs.json", dict.fromkeys(TITLES, "Sex: unknown."))
    write(folder / "qid2abs_long.json", {"Q1": "Born: 1900.", "Q2": "", "Q3": "x"})
    picture(folder / "images" / "Q1.png", "red")
    picture(folder / "images" / "Q3.jpg", "blue")
    return folder


def wikimel(folder):
    """Samples of several mentions, with splits.json beside them."""
    samples = {
        "7": record(
            "7",
            "Kern with Lind",
            ["Lind", "Kern"],
            ["Eva Lind", "Otto Kern"],
            ["Q4", "Q3"],
        ),
        "8": record("8", "Berg, 1920", ["Berg"], ["Ada Berg"], ["Q1"]),
        "9": record("9", "Lind, 1930", ["Lind"], ["Eva Lind"], ["Q99"]),
    }
    write(folder / "Wikidata-MEL.json", samples)
    write(folder / "splits.json", {"train": ["7", "70"], "dev": ["8", "80", "81"]})
    write(folder / "qid2ne.json", TITLES)
    write(folder / "qid2abs.json", dict.fromkeys(TITLES, "Sex: unknown."))
    return folder


def page(title):
    return f"https://en.wikipedia.org/wiki/{title}"


PICTURE_URL = "https://example.org/a/Kern_%28left%29.JPG"

CAPTIONS = [
    [
        "Kern met the Lions.",
        PICTURE_URL,
        "sports",
        [
            ["Kern", "Person", 0, 4, "nil"],
            ["Lions", "Organization", 99, 104, page("Detroit_Lions")],
        ],
    ],
    [
        "Zürich by night",
        "",
        "other",
        [["Zürich", "Location", 0, 6, "n" + page("Z%C3%BCrich#History")]],
    ],
]


def wikidiverse(folder):
    """Captions in train, and in valid a passage of one."""
    write(folder / "train.json", CAPTIONS)
    write(folder / "valid.json", [[CAPTIONS[0]]])
    return folder


def mimic(folder):
    """A record a mention, texts percent-encoded."""
    entities = [
        {
            "id": 0,
            "type": "entity",
            "entity_name": "Ada%20Berg",
            "qid": "Q1",
            "desc": "poet",
            "attr": "Born: 1900.",
            "image_list": ["Q1_0.jpg", "Q1_1.jpg"],
        },
        {
            "id": 1,
            "type": "entity",
            "entity_name": "Otto Kern",
            "qid": "Q3",
            "desc": "",
            "attr": "Born: 1910.",
            "image_list": [],
        },
    ]
    samples = [
        {
            **record("1", "Berg and Kern", "Berg", "Ada Berg", "Q1"),
            "imgPath": "p/a.png",
        },
        {
            **record("1", "Berg and Kern", "Kern", "Otto Kern", "Q3"),
            "imgPath": "p/a.png",
        },
        {**record("1", "Nobody", "Nobody", "", "nil"), "imgPath": ""},
    ]
    write(folder / "kb_entity.json", entities)
    write(folder / "qid2id.json", {"Q1": 0, "Q3": 1})
    for split in ("train", "dev", "test"):
        write(folder / f"RichpediaMEL_{split}.json", samples)
    picture(folder / "mention_image" / "a.jpg", "red")
    picture(folder / "kb_image" / "Q1_1.jpg", "red")
    return folder


PRODUCTS = {
    "Golden-Delicious": "Apple",
    "Granny-Smith": "Apple",
    "Pink-Lady": "Apple",
    "Arla-Sour-Cream": "Sour-Cream",
    "Arla-Ecological-Sour-Cream": "Sour-Cream",
    "Kiwi": "Kiwi",
}
"""Classes of `grocery`, and their coarse classes."""
PHOTOGRAPHS = {"train": 8, "val": 2, "test": 6}
"""Photographs of each class."""


def grocery(folder):
    """Six products in the layout of the Grocery Store Dataset."""
    dataset = folder / "dataset"
    header = (
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    )
    classes, lists = [header], {split: [] for split in PHOTOGRAPHS}
    for number, (name, coarse) in enumerate(PRODUCTS.items()):
        own = f"iconic-images-and-descriptions/{coarse}/{name}/{name}"
        iconic, text = f"{own}_Iconic.jpg", f"{own}_Description.txt"
        classes.append(f"{name},{number},{coarse},0,/{iconic},/{text}")
        picture(dataset / iconic, (40 * number, 255, 255))
        (dataset / text).write_text(f"\ufeff{name} is sold here.\n", encoding="utf-8")
        for split, n in PHOTOGRAPHS.items():
            for i in range(1, n + 1):
                path = f"{split}/{coarse}/{name}/{name}_{i:03}.jpg"
                blue = {"train": 0, "val": 90, "test": 180}[split]
                picture(dataset / path, (40 * number, 25 * i, blue))
                lists[split].append(f"{path}, {number}, 0")
    for split, lines in lists.items():
        (dataset / f"{split}.txt").write_text("\n".join(lines) + "\n")
    (dataset / "classes.csv").write_text("\n".join(classes) + "\n")
    return folder
