import pytest

from whylabel.reasonings.conclusion import conclusion

EMOTIONS = ("anger", "fear", "joy", "love", "sadness", "surprise")


@pytest.mark.parametrize(
    ("reasoning", "affirmed", "denied"),
    [
        ("The writer is 'on the top stair', so it is fear.", {"fear"}, set()),
        ("'stunned' shows surprise, not joy.", {"surprise"}, {"joy"}),
        ('The splits are a "splits", so it is not a surprise.', set(), {"surprise"}),
        ("'pissed' means annoyed; the writer is angry rather than sad.", {"anger"}, {"sadness"}),
        ("It looks like joy at first, but the trembling hands tell of fear.", {"fear"}, set()),
        ("It isn't anger. It's grief.", set(), set()),
        ("He is happy. This is neither love nor surprise.", set(), {"love", "surprise"}),
        ("'in love with this island' is devotion, warmer than joy", set(), {"joy"}),
        ("The word 'fear' is only quoted; she is calm.", set(), set()),
        ("There is no anger in it and the end is joyful.", {"joy"}, {"anger"}),
        ("", set(), set()),
    ],
)
def test_what_a_reasoning_concludes(reasoning: str, affirmed: set[str], denied: set[str]) -> None:
    found = conclusion(reasoning, EMOTIONS)
    assert (set(found.affirmed), set(found.denied)) == (affirmed, denied)


@pytest.mark.parametrize(
    ("reasoning", "label", "contradicts"),
    [
        ("The splits are a 'splits', so it is not a surprise.", "surprise", True),
        ("The siren is a sound of love, so the writer is loved.", "fear", True),
        ("'cheated' shows hurt, the writer is not pleased.", "anger", False),
        ("This is dread, not anger.", "fear", False),
        ("This is dread, not anger.", "anger", True),
        ("It is joy, and some surprise.", "joy", False),
    ],
)
def test_a_reasoning_that_leads_away_from_its_label_contradicts_it(
    reasoning: str, label: str, contradicts: bool
) -> None:
    assert conclusion(reasoning, EMOTIONS).contradicts(label) is contradicts


def test_labels_of_several_words() -> None:
    labels = ("card_not_working", "card_lost")
    found = conclusion("The terminal declined it, so the card is not working.", labels)
    assert found.affirmed == {"card_not_working"}
