import pytest

from whylabel.data.list_cells import bare_lists, labels_of_object, parsed


@pytest.mark.parametrize(
    "text",
    [
        "['price', 'speed']",
        '["price", "speed"]',
        '["price","speed"]',
        "['price' 'speed']",
        "['price'\n 'speed']",
        "('price', 'speed')",
        "{'price', 'speed'}",
        "array(['price', 'speed'], dtype=object)",
        "[np.str_('price'), np.str_('speed')]",
        " ['price', \"speed\"] ",
    ],
)
def test_lists_as_programs_write_them(text):
    assert parsed(text) == ["price", "speed"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", []),
        ("set()", []),
        ("[1, 2]", [1, 2]),
        ("[1 2]", [1, 2]),
        ("[1. 2.]", [1.0, 2.0]),
        ("['a', nan]", ["a", None]),
        ("[\"don't\", 'it, too']", ["don't", "it, too"]),
        ("[['a'], ['b']]", [["a"], ["b"]]),
        ("{'price': True, 'speed': False}", {"price": True, "speed": False}),
        ('{"choices": ["price"]}', {"choices": ["price"]}),
    ],
)
def test_lists_and_objects_of_other_kinds(text, value):
    assert parsed(text) == value


@pytest.mark.parametrize(
    "text", ["price", "[spam]", "[a, b]", "(0, 10]", "it's [a]", "['a'", "[", "", "[a](b)", "(:"]
)
def test_other_texts_are_texts(text):
    assert parsed(text) is None


def test_brackets_without_quotes_are_lists_where_all_texts_have_them():
    assert bare_lists(["[price, speed]", "[price]", "[]"]) == [["price", "speed"], ["price"], []]
    assert bare_lists(["{price,speed}", '{"a b"}']) == [["price", "speed"], ["a b"]]
    assert bare_lists(["[bug]", "[idea]"]) is None
    assert bare_lists(["[bug], [idea]"]) is None
    assert bare_lists(["[a, b]", "c"]) is None


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ({"price": True, "speed": False}, ["price"]),
        ({"choices": ["price", "speed"]}, ["price", "speed"]),
        ({"price": 1}, None),
        ({"price": 0.3, "speed": 0.7}, None),
        ({}, []),
    ],
)
def test_labels_of_an_object(value, labels):
    assert labels_of_object(value) == labels
