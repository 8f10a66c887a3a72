"""Labels that are function words but for their case: they stand in most reasonings without being named."""

import pytest

from whylabel.reasonings.leak import leaks
from whylabel.reasonings.masking import names

NAMED = [
    ("The ticket goes to IT, since the server is down", "IT"),
    ("IT is needed, for the server is down", "IT"),
    ("Tax law of the US applies to this", "US"),
    ("The letter A is the one that fits", "A"),
    ("The answer: A, since the others do not fit", "A"),
    ("This goes into Other, since nothing fits", "Other"),
    ("A report by the WHO is quoted here", "WHO"),
    ("It was written in May, when it rains", "May"),
    ("They call it Will in the text", "Will"),
    ('The label "no" fits, since he refuses', "no"),
    ("The answer is no, since he refuses", "no"),
    ("No, the writer refuses the offer", "no"),
    ("He refuses, so no.", "no"),
    ("Label: no, because he refuses", "no"),
    ("It counts as other, since nothing fits", "other"),
    ("**Other** fits, since nothing else does", "Other"),
    ("(A) fits best of all of them", "A"),
    ("The grade A+ fits, as all is right", "A+"),
    ("A+ fits, as all is right", "A+"),
    ("The grade A- fits, as much is right", "A-"),
    ("Category: Other because nothing fits", "Other"),
    ("Yes, the writer agrees to it", "yes"),
    ("It is for her, as the card says", "for_her"),
    ("Die Karte gehört zu IT, denn der Server steht", "IT"),
    ("Der Schalter steht auf „aus“, weil es dunkel ist", "aus"),
    ("Die Antwort: nicht, weil er sich weigert", "nicht"),
    ("答案是“是”，因为他同意了", "是"),
    ("是。因为他同意了", "是"),
]
NOT_NAMED = [
    ("The writer says that it is broken", "IT"),
    ("It is the server that is down", "IT"),
    ("The customer asks us for a refund", "US"),
    ("A customer asks for a refund", "A"),
    ("The text says so. A customer asks", "A"),
    ("a customer asks for a refund", "A"),
    ("Other people are blamed for what happened", "Other"),
    ("The writer blames other people for it", "Other"),
    ("Who wrote this, and to whom?", "WHO"),
    ("The writer, who is ill, asks for help", "WHO"),
    ("May I ask for a refund, the writer says", "May"),
    ("The writer may ask for a refund", "May"),
    ("He will come if he can", "Will"),
    ("He can come if he will", "can"),
    ("There is no sign of a refusal here", "no"),
    ("No sign of a refusal is found here", "no"),
    ("No-one is refused here by anybody", "no"),
    ("I think that the writer is happy", "I"),
    ("The writer likes it, so all is well", "it"),
    ("the other card does not work", "other"),
    ("THE WRITER SAYS IT IS BROKEN", "IT"),
    ("It is a gift for the daughter, from her", "for_her"),
    ("A customer asks for a refund", "A+"),
    ("Apples are what a customer asks for", "A-"),
    ('The writer says: "A customer asks for it"', "A"),
    ("The writer says “Other people do it”", "Other"),
    ("The point of it is this: A customer asks", "A"),
    ("It is about the unknown", "Other/Known"),
    ("Die Karte ist nicht da, er sucht sie", "Die"),
    ("Der Kunde kommt aus Köln und sucht sie", "aus"),
    ("Der Schreiber sagt, dass er nicht kommt", "NICHT"),
    ("Il dit que la carte ne marche pas", "PAS"),
    ("No hay ninguna señal de que él se niegue", "no"),
    ("这是他的意思，因为他说是的", "是"),
    ("他问是否可以退款", "否"),
    ("ผู้เขียนไม่ได้รับเงินคืน", "ไม่"),
    ("Khách hàng không nhận được hàng của họ", "không"),
]


@pytest.mark.parametrize(("reasoning", "label"), NAMED)
def test_a_label_that_is_named(reasoning, label):
    assert leaks(reasoning, 8, label)


@pytest.mark.parametrize(("reasoning", "label"), NOT_NAMED)
def test_an_ordinary_word_is_no_label(reasoning, label):
    assert not leaks(reasoning, 8, label)


@pytest.mark.parametrize(
    ("reasoning", "label"),
    [
        ("The writer is sad", "sadness"),
        ("The writer is glad", "sadness"),
        ("The war is over, as it seems", "war"),
        ("The card does not work", "card_not_working"),
        ("A youtube video", "YouTube"),
        ("因为悲伤", "悲伤"),
        ("The text says IT IS SAD", "SADNESS"),
    ],
)
def test_all_other_labels_are_named_as_they_are_masked(reasoning, label):
    assert leaks(reasoning, 8, label) is names(reasoning, label)


def test_of_several_labels_all_must_be_named():
    assert not leaks("The writer is joyful about it", 8, "IT, joy")
    assert leaks("The writer is joyful about IT", 8, "IT, joy")
    assert not leaks("It tells us of it", 8, "IT, US")


def test_only_the_first_words_count():
    reasoning = "The ticket is about a server, so it is for IT"
    assert leaks(reasoning, 11, "IT") and not leaks(reasoning, 10, "IT")
    assert leaks("It says no", 3, "no") is False
