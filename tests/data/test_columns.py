import pytest

from whylabel.data.columns import recognise_columns, recognise_reasoning_column, recognise_text_column
from whylabel.data.table import Table
from whylabel.errors import DataError
from whylabel.recipe import DataConfig

LONG = [f"this is the long text number {at} of the table" for at in range(8)]
SHORT = [f"note {at}" for at in range(8)]
LABELS = ["pos", "neg"] * 4
INTEGERS = [1, 0] * 4
REASONS = [
    f"a much longer reasoning than the text, and that for number {at} of all of them" for at in range(8)
]


def table(class_names=None, **columns):
    named = {name.replace("__", " "): values for name, values in columns.items()}
    return Table("t.csv", named, range(1, 9), class_names=class_names or {})


def recognised(given, **settings):
    columns = recognise_columns(given, DataConfig(**settings))
    return columns.text, columns.label


@pytest.mark.parametrize("text", ["text", "Sentence", "UTTERANCE", "review_body", "Comment", "tweet text"])
@pytest.mark.parametrize("label", ["label", "Labels", "CLASS", "intentName", "Intent Name", "emotion"])
def test_columns_by_name(text, label):
    assert recognised(table(**{text: LONG, "other": SHORT, label: LABELS})) == (text, label)


def test_odd_names_are_recognised_by_content():
    given = table(**{"Customer says": LONG, "Agent": SHORT, "What it is": LABELS, "score": [0.5, 1.5] * 4})
    assert recognised(given) == ("Customer says", "What it is")


def test_odd_text_beside_a_named_label():
    assert recognised(table(Customer__says=LONG, Intent__Name=LABELS)) == ("Customer says", "Intent Name")


def test_a_column_of_strings_wins_over_integers_that_mean_the_same():
    assert recognised(table(text=LONG, label=INTEGERS, label_name=LABELS))[1] == "label_name"
    assert recognised(table(text=LONG, kind_id=INTEGERS, kind=LABELS))[1] == "kind"


def test_label_text_is_no_text():
    assert recognised(table(label=INTEGERS, label_text=LABELS, text=LONG)) == ("text", "label_text")


def test_earlier_tier_wins():
    given = table(title=SHORT, text=LONG, category=LABELS, topic=["x", "y", "z", "x"] * 2)
    assert recognised(given) == ("text", "category")


def test_only_class_label_column_wins():
    given = table(class_names={"kind": ("a", "b")}, text=LONG, kind=INTEGERS, other=["u", "u", "v", "v"] * 2)
    assert recognised(given)[1] == "kind"


def test_named_columns_are_taken_as_they_are():
    given = table(text=LONG, label=LABELS, other=SHORT, kind=INTEGERS)
    assert recognised(given, text_column="other", label_column="kind") == ("other", "kind")


def test_only_what_was_recognised_is_noted():
    given = table(text=LONG, label=LABELS, ID=range(8))
    columns = recognise_columns(given, DataConfig(text_column="text"))
    assert columns.inferred == {"label_column": "label", "id_column": "ID"}


@pytest.mark.parametrize(
    "columns",
    [
        {"sentence1": LONG, "sentence2": LONG, "label": LABELS},
        {"text": LONG, "intent": LABELS, "sentiment": ["x", "y", "z", "x"] * 2},
        {"text": LONG, "left": LABELS, "right": ["x", "x", "y", "y"] * 2},
        {"text": LONG},
        {"text": LONG, "other": SHORT},
        {"label": INTEGERS, "number": INTEGERS},
    ],
)
def test_unclear_columns_are_listed(columns):
    with pytest.raises(DataError) as caught:
        recognise_columns(table(**columns), DataConfig())
    assert all(repr(name) in caught.value.what for name in columns)
    assert "data.text_column" in caught.value.fix and "data.label_column" in caught.value.fix


def test_empty_label_column_is_still_the_label():
    assert recognised(table(text=LONG, label=[None] * 8, kind=LABELS))[1] == "label"


@pytest.mark.parametrize("setting", ["text_column", "label_column", "id_column"])
def test_missing_named_column(setting):
    with pytest.raises(DataError, match="Did you mean 'label'") as caught:
        recognise_columns(table(text=LONG, label=LABELS), DataConfig(**{setting: "labl"}))
    assert setting in caught.value.where


def test_one_column_cannot_be_both():
    with pytest.raises(DataError, match="both column 'text'"):
        recognise_columns(table(text=LONG), DataConfig(text_column="text", label_column="text"))


def test_file_without_header():
    given = table(**{LONG[0]: LONG, "neg": LABELS})
    with pytest.raises(DataError, match="no header"):
        recognise_columns(given, DataConfig())


def test_text_column_without_labels():
    assert recognise_text_column(table(whatever=SHORT)) == "whatever"
    assert recognise_text_column(table(id=SHORT, message=LONG)) == "message"
    assert recognise_text_column(table(Customer__says=LONG, Intent__Name=LABELS)) == "Customer says"
    assert recognise_text_column(table(id=INTEGERS, topic=LONG)) == "topic"


def test_an_unclear_text_column_without_labels_names_its_own_option():
    with pytest.raises(DataError, match="Several columns could be the text") as caught:
        recognise_text_column(table(first=LONG, second=LONG))
    assert caught.value.fix == "say which column to use: --text-column"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"remark": SHORT, "kind": LABELS, "explanation": REASONS}, ("remark", "kind")),
        ({"remark": SHORT, "stars": INTEGERS, "rationale": REASONS}, ("remark", "stars")),
        ({"remark": SHORT, "label": LABELS, "reasoning": REASONS}, ("remark", "label")),
        # Without it, there would be no text.
        ({"kind": LABELS, "explanation": REASONS}, ("explanation", "kind")),
        ({"id": INTEGERS, "kind": LABELS, "explanation": REASONS}, ("explanation", "kind")),
        ({"label": LABELS, "reasoning": REASONS}, ("reasoning", "label")),
    ],
)
def test_a_column_that_looks_like_reasonings_is_the_text_only_if_no_other_can_be(columns, expected):
    given = table(**columns)
    found = recognise_columns(given, DataConfig())
    assert (found.text, found.label, found.reasoning) == (*expected, None)
    if "remark" in columns:
        name = list(columns)[-1]
        assert recognise_reasoning_column(given, expected) == name
        found = recognise_columns(given, DataConfig(reasoning_column=name))
        assert (found.text, found.label, found.reasoning) == (*expected, name)


def test_a_long_column_that_is_mostly_empty_is_not_the_text():
    some = [*REASONS[:3], *[""] * 5]
    assert recognised(table(Nachricht=SHORT, Thema=LABELS, Begründung=some)) == ("Nachricht", "Thema")
    # Where there is no other, its empty cells are bad rows.
    assert recognised(table(Begründung=some, Thema=LABELS)) == ("Begründung", "Thema")
    full = [*REASONS[:5], *[""] * 3]
    assert recognised(table(Nachricht=SHORT, Thema=LABELS, Begründung=full))[0] == "Begründung"
