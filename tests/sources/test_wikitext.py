import pytest

from spacy_dwe.sources.wikitext import Site, cut, links, plain_intro

SITE = Site("enwiki")


def intro(text, length=1000):
    return plain_intro(text, SITE, length)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''Rome''' is ''the'' '''''capital'''''.", "Rome is the capital."),
        ("[[Rome|The city]], [[Italy]]'s [[capital]]s", "The city, Italy's capitals"),
        ("A<!-- [[x]] --> town&nbsp;&ndash;&#32;old", "A town – old"),
        (
            'A town.<ref name="a">Some {{cite|x}}</ref><ref name="a"/> Old.',
            "A town. Old.",
        ),
        ("{{Infobox\n| a = {{b|{{c}}}}\n| d = [[e]]\n}}\nA town.", "A town."),
        ("{{About|x}}\n{{Use dmy}} {{Other}}\nA town.", "A town."),
        ("{| class=x\n|-\n| {{x|}}\n{|\n| inner\n|}\n|}\nA town.", "A town."),
        ("[[File:A.jpg|thumb|A [[cap]] ''b'' [[c|d]]]]\nA town.", "A town."),
        ("[[Bild:A.jpg|mini|Eine [[Stadt]]]] A town.", "A town."),
        ("[[Category:Towns]]A town.[[Category:x|y]]", "A town."),
        (":''This is on the town.''\n* a list\nA town.", "A town."),
        ("A town.\n\nIt is old.\n== History ==\nLong.", "A town. It is old."),
        ("A<br/>town, [http://x.org its site], [http://x.org].", "A town, its site,."),
        ("H<sub>2</sub>O is <span style='x'>wet</span><math>x</math>.", "H2O is wet."),
        ("Rome ({{IPA|x}}, {{lang-it|Roma}}; born 753) is", "Rome (born 753) is"),
        ("Rome ({{IPA|x}}; {{audio|y}}) is, {{x}}, old", "Rome is, old"),
        ("Rom（{{lang|}}、）は", "Romは"),
        ("__NOTOC__A town.", "A town."),
        ("-{zh-hans:罗马;zh-hant:羅馬}-是-{首都}-。", "罗马是首都。"),
        ("", ""),
    ],
)
def test_an_introduction_becomes_plain_text(markup, text):
    assert intro(markup) == text


def test_templates_that_show_their_argument():
    markup = "{{lang|la|Roma}} is {{convert|5|km|mi}} away{{citation needed}}."
    assert intro(markup) == "Roma is 5 km away."


def test_markup_that_is_never_closed_does_no_harm():
    assert intro("A town {{broken|and [[link of").startswith("A town")


def test_a_text_is_cut_after_a_sentence():
    text = "It was founded by St. Mark in 753 B.C. It is old. It is the capital."
    assert cut(text, 1000) == text
    assert cut(text, 60) == "It was founded by St. Mark in 753 B.C. It is old."
    assert cut(text, 30) == "It was founded by St. Mark in…"
    assert cut("東京は首都です。日本にあります。", 12) == "東京は首都です。"
    assert cut("x" * 20, 10) == "x" * 9 + "…"
    assert len(cut("word " * 100, 99)) <= 99


def test_links_are_found_wherever_they_stand():
    text = "{{Infobox|a=[[Rome]]}} [[File:x.jpg|thumb|In [[Italy|the land]]]] [[a|b]]s"
    found = [("Rome", "Rome"), ("Italy", "the land"), ("A", "bs")]
    assert list(links(text, SITE)) == found


@pytest.mark.parametrize(
    ("target", "title"),
    [
        ("rome_(city)#History", "Rome (city)"),
        (" :Rome  (city) ", "Rome (city)"),
        ("Caf%C3%A9", "Café"),
        ("AT&amp;T", "AT&T"),
        ("#History", ""),
        ("100%", "100%"),
        ("élan", "Élan"),
        ("საქართველო", "საქართველო"),
        ("ßtraße", "ßtraße"),
    ],
)
def test_titles(target, title):
    assert SITE.title(target) == title


def test_titles_of_other_wikis():
    assert Site("trwiki").title("istanbul") == "İstanbul"
    assert Site("jbowiki", first_letter=False).title("lojban") == "lojban"
