import unicodedata

import pytest

from whylabel.reasonings.masking import mask_words, names


@pytest.mark.parametrize(
    ("reasoning", "words", "expected"),
    [
        ("This is joy.", ["joy"], "This is ___."),
        ("JOY, Joy and joy", ["joy"], "___, ___ and ___"),
        ("joyful, joyous and joys", ["joy"], "___, ___ and ___"),
        ("angered by anger", ["Anger"], "___ by ___"),
        ("enjoy the job-sharing", ["joy"], "enjoy the job-sharing"),
        ("joy-ride", ["joy"], "___-ride"),
        ("fear of flying, flying fears", ["fear of flying"], "___ of ___, ___ ___"),
        ("joy or fear or love", ["joy", "fear"], "___ or ___ or love"),
        ("joyful joy", ["joy", "joyful"], "___ ___"),
        ("No. It is not: no, nothing", ["no"], "___. It is not: ___, nothing"),
        ("no or yes", ["no", "yes"], "___ or ___"),
        ("5 + 5 = 10, not 105 or 55", ["10"], "5 + 5 = ___, not 105 or 55"),
        ("Ärger, ärgerlich und ärgern", ["ärger"], "___, ___ und ___"),
        ("a C or c, not cc", ["C++"], "a ___ or ___, not cc"),
        (r"a.b or axb, \d", ["a.b"], r"___ or axb, \d"),
        ("so it is C++ and not C#", ["c", "c++", "C#"], "so it is ___ and not ___"),
        ("so it is C++, a c++11", ["C++"], "so it is ___, a ___11"),
        ("an income of >50K, not <=50K", [">50K"], "an income of ___, not <=___"),
        ("an xc# is no c#", ["c#"], "an xc# is no ___"),
        ("nothing to hide", [], "nothing to hide"),
        ("nothing to hide", ["", "?!", " ", "___"], "nothing to hide"),
        ("", ["joy"], ""),
        ("card_not_working, or a card-reader", ["card_not_working"], "___, or a ___-reader"),
        ("so 😀 is 😀😀", ["😀"], "so ___ is ______"),
    ],
)
def test_mask_words(reasoning, words, expected):
    assert mask_words(reasoning, words) == expected


@pytest.mark.parametrize(
    ("label", "hidden", "left"),
    [
        # English relatives: equal stems, a stem that begins with the other, a shared beginning.
        ("sadness", "sad saddened sadly SADNESS sad's", "say sand unhappy the Saturday"),
        ("sad", "sadness sadder saddest", "said sale stand"),
        ("anger", "angry angrily angered angers", "danger hunger range an"),
        ("love", "loving loved lovely lovable lovingly lovers", "low lost live glove clover"),
        ("joy", "joyful joyous joys overjoyed-joy", "enjoy job toy"),
        ("fear", "fearful fears fearless", "afraid for far dear"),
        ("surprise", "surprised surprising surprisingly surprises", "supreme sure surplus prize"),
        ("happiness", "happy happily happier", "hang ham unhappy"),
        ("grief", "grieving grieved", "green grow"),
        ("optimism", "optimistic optimist", "operation oats"),
        ("curiosity", "curious curiously", "cut courage"),
        ("Sci/Tech", "science technology scientific technical", "sky tea"),
        # Several words, however they are joined: function words stay.
        ("card_not_working", "card cards worked work works working", "not of it the no nothing"),
        ("card-not-working", "card working", "not of it"),
        ("card not working", "card working", "not of it"),
        ("AddToPlaylist", "add adding playlist playlists AddToPlaylist addtoplaylist", "to two list this"),
        ("YouTube", "YouTube youtube tube", "you your"),
        ("fear of flying", "fears fly flying", "of off"),
        ("theft", "theft thefts", "the then there"),
        ("waste", "waste wasted wasteful", "was"),
        # Labels that are short, digits, or nothing but function words.
        ("no", "no No", "not nothing none now"),
        ("not", "not NOT", "nothing note no"),
        ("other", "other others", "otherwise another"),
        ("A", "A a", "an apple cat"),
        ("2", "2", "22 two 2nd"),
        ("ad", "ad ads", "add adds admit"),
        # Other languages and scripts.
        ("déçu", "déçu déçue decu de\u0301c\u0327u", "dans deux"),
        ("грусть", "грусть грустный грустит", "груз друг"),
        ("슬픔", "슬픔 슬픔을 슬픔이 슬프다", "기쁨 사람"),
        ("حزن", "حزن الحزن بالحزن", "فرح زمن"),
        ("खुशी", "खुशी", "दुख लेखक"),
        # Labels of words and signs.
        ("joy 😂", "joy joyful 😂", "😀 job"),
        ("C++", "C c", "cc + ++"),
    ],
)
def test_relatives_are_hidden_and_others_stay(label, hidden, left):
    for word in hidden.split():
        assert "___" in mask_words(f"so {word} it", [label]), word
    for word in left.split():
        text = f"so {word} it"
        assert mask_words(text, [label]) == text, word


@pytest.mark.parametrize(
    ("label", "reasoning", "expected"),
    [
        ("悲伤", "这句话表达了悲伤的情绪", "这句话表达了___的情绪"),
        ("喜", "他很喜欢", "他很___欢"),
        ("悲しい", "作者は悲しみを感じ、悲しくて泣く", "作者は___を感じ、___て泣く"),
        ("かなしい", "とてもかなしいです", "とても___です"),
        ("เศร้า", "ผู้เขียนรู้สึกเศร้ามาก", "ผู้เขียนรู้สึก___มาก"),
        ("sadness", "这是sadness的情绪", "这是___的情绪"),
        ("5星", "给了5星好评", "给了___好评"),
    ],
)
def test_a_label_is_hidden_inside_text_without_blanks(label, reasoning, expected):
    assert mask_words(reasoning, [label]) == expected


@pytest.mark.parametrize(
    ("label", "reasoning", "expected"),
    [
        ("❤️", "so ❤ and ❤️", "so ___ and ___"),
        ("❤", "so ❤️", "so ___"),
        ("👍", "👍🏽 not 👎", "___ not 👎"),
        ("🤷🏽‍♀️", "well 🤷🏽‍♀️, 🤷", "well ___, 🤷"),
        ("🇩🇪", "from 🇩🇪 to 🇩🇰", "from ___ to 🇩🇰"),
        (":)", "hm :) yes", "hm ___ yes"),
        ("+", "a + b", "a ___ b"),
    ],
)
def test_labels_without_a_word_are_hidden_as_they_stand(label, reasoning, expected):
    assert mask_words(reasoning, [label]) == expected


def test_masking_does_not_depend_on_the_order_of_words():
    text = "joyful joys of a joyride, love and lovers"
    assert mask_words(text, ["joy", "love", "joyride"]) == mask_words(text, ["joyride", "love", "joy"])


LABELS = ("sadness", "card_not_working", "悲しい", "슬픔", "❤️", "A", "déçu", "no", "AddToPlaylist", "joy 😂")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_no_label_survives_and_the_rest_does(label, form):
    text = unicodedata.normalize(form, f"so {label}, ein Wörtchen")
    masked = mask_words(text, [label])
    assert label.casefold() not in masked.casefold()
    assert masked.startswith("so ___") and masked.endswith(unicodedata.normalize("NFC", "Wörtchen"))
    assert mask_words(masked, [label]) == masked


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("The writer is sad", "sadness", True),
        ("The writer was forgotten", "sadness", False),
        ("The card is lost", "card_not_working", False),
        ("The card does not work", "card_not_working", True),
        ("It is not of use", "card_not_working", False),
        ("He adds it to his playlist", "AddToPlaylist", True),
        ("He adds it", "AddToPlaylist", False),
        ("A youtube video", "YouTube", True),
        ("You watch a video", "YouTube", False),
        ("因为悲伤", "悲伤", True),
        ("因为高兴", "悲伤", False),
        ("so 😂", "joy 😂", False),
        ("joyful 😂", "joy 😂", True),
        ("well :)", ":)", True),
        ("de\u0301ception", "colère", False),
        ("anything", "", False),
    ],
)
def test_a_text_names_a_label_when_every_part_of_it_stands_there(text, label, expected):
    assert names(text, label) is expected
