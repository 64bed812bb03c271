import pytest

from spacy_dwe.datasets.samples import SampleMention, place_mentions


def placed(sentence, *mentions, golds=None):
    golds = golds or [f"Q{n}" for n in range(len(mentions))]
    given = [SampleMention(text, gold) for text, gold in zip(mentions, golds)]
    return place_mentions(sentence, given)


def parts(result):
    return [result.text[start:end] for start, end in result.spans]


def test_equal_mentions_stand_from_left_to_right():
    result = placed("Bush met Bush and Laura Bush.", "Bush", "Laura Bush", "Bush")
    assert result.spans == ((0, 4), (18, 28), (9, 13))
    assert not any(result.added)


def test_a_mention_inside_of_another_only_if_there_is_no_other_place():
    sentence = "The Washington Post wrote of Washington."
    result = placed(sentence, "Washington", "Washington Post")
    assert result.spans == ((29, 39), (4, 19))
    result = placed("The Washington Post", "Washington", "Washington Post")
    assert result.spans == ((4, 14), (4, 19))


@pytest.mark.parametrize(
    "sentence, mention, found",
    [
        ("Carlsbad greets Carl", "Carl", (16, 20)),
        ("Germans came", "German", (0, 6)),
        ("USA told us", "US", (0, 2)),
        ("the PRESIDENT speaks", "President", (4, 13)),
        ("Mont\xa0 Blanc rises", "Mont Blanc", (0, 11)),
        ("Die Straße 7", "STRASSE 7", (4, 12)),
    ],
)
def test_whole_words_as_written_come_first(sentence, mention, found):
    result = placed(sentence, mention)
    assert (result.text, result.spans[0]) == (sentence, found)


def test_case_is_no_reason_to_find_a_name_inside_of_a_word():
    result = placed("He also came", "Al")
    assert result.text == "Al. He also came"
    assert result.added == (True,)


def test_what_a_sentence_lacks_is_put_in_front_in_order():
    result = placed("Beckerath in Krefeld", "Hermann B.", "Krefeld", "Ruth")
    assert result.text == "Hermann B.. Ruth. Beckerath in Krefeld"
    assert parts(result) == ["Hermann B.", "Krefeld", "Ruth"]
    assert result.added == (True, False, True)


def test_a_repeated_label_shares_its_place_and_another_gold_does_not():
    result = placed("Sali and Lirie Berisha", "Berisha", "Berisha", golds=["Q1", "Q1"])
    assert result.spans == ((15, 22), (15, 22))
    result = placed("Sali and Lirie Berisha", "Berisha", "Berisha", golds=["Q1", "Q2"])
    assert result.text.startswith("Berisha. Sali")
    assert result.added == (False, True)


def test_offsets_of_the_dataset_are_kept_where_they_fit():
    sentence = "Georgia and Georgia"
    second = SampleMention("Georgia", "Q1", (12, 19))
    shifted = SampleMention("Georgia", "Q2", (3, 10))
    assert place_mentions(sentence, [shifted, second]).spans == ((0, 7), (12, 19))
    outside = SampleMention("Georgia", "Q1", (-7, 99))
    assert place_mentions(sentence, [outside]).spans == ((0, 7),)
