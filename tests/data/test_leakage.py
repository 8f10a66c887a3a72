from whylabel.data.leakage import leakage
from whylabel.types import Dataset, Example


def rows(*texts, label="joy"):
    return tuple(Example(f"{text}-{place}", text, label) for place, text in enumerate(texts))


def test_texts_of_later_splits_that_train_holds_are_counted():
    data = Dataset(
        train=rows("It rained.", "Sunny!", "Wind"), validation=rows("new"), test=rows("IT  rained.", "fog")
    )
    (found,) = leakage(data)
    assert (found.split, found.rows, found.leaked, found.other_label) == ("test", 2, 1, 0)
    assert str(found) == "1 of 2 test texts also occur in train"


def test_another_label_counts_only_where_train_has_the_text_with_none_of_the_row():
    train = (*rows("a", "b"), *rows("a", label="fear"))
    data = Dataset(train=train, test=(*rows("a"), *rows("b", label="fear"), *rows("a", label="anger")))
    (found,) = leakage(data)
    assert (found.leaked, found.other_label) == (3, 2)
    assert str(found).endswith(", 2 of them with another label")


def test_nothing_is_found_where_nothing_is_shared_or_no_split_follows():
    assert leakage(Dataset(train=rows("a", "a"))) == []
    assert leakage(Dataset(train=rows("a"), validation=rows("b"), test=rows("b"))) == []
