import pytest

from spacy_dwe.datasets.descriptions import page_title, page_url

ENGLISH = "https://en.wikipedia.org/wiki/"


@pytest.mark.parametrize(
    "url, title",
    [
        (ENGLISH + "Detroit_Lions", "Detroit Lions"),
        (ENGLISH + "Z%C3%BCrich#History", "Zürich"),
        (ENGLISH + "AC/DC", "AC/DC"),
        (ENGLISH + "pig", "Pig"),
        (ENGLISH + "Who%27s_There%3F", "Who's There?"),
        (ENGLISH + "Bonn?oldid=7", "Bonn"),
        ("n" + ENGLISH + "Bonn", "Bonn"),
        ("]" + ENGLISH + "Bonn ", "Bonn"),
        ("ttps://en.m.wikipedia.org/wiki/Bonn", "Bonn"),
        ("https://de.wikipedia.org/wiki/K%C3%B6ln", "de:Köln"),
        ("https://en.wikipedia.org/w/index.php?title=Bonn&action=edit", "Bonn"),
        ("Bonn_(film)", "Bonn (film)"),
        ("https://example.org/Bonn", None),
        (ENGLISH, None),
        ("", None),
    ],
)
def test_page_title(url, title):
    assert page_title(url) == title


@pytest.mark.parametrize("title", ["Zürich", "AC/DC", "de:Köln", "Who's There?"])
def test_a_page_s_address_names_it(title):
    assert page_title(page_url(title)) == title
