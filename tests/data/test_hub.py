import datasets
import pytest

from whylabel.data import load_dataset, load_reasoning
from whylabel.data.table import PIECE_ROWS
from whylabel.errors import DataError, LabelError
from whylabel.recipe import DataConfig, ReasonerConfig, TaskConfig

NAMES = ["sadness", "joy"]


def split(rows, **columns):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=NAMES),
            "tokens": datasets.Sequence(datasets.Value("string")),
        }
    )
    content = {
        "text": [f"text {at} of {rows}" for at in range(rows)],
        "label": [at % 2 for at in range(rows)],
        "tokens": [["a"]] * rows,
    }
    return datasets.Dataset.from_dict({**content, **columns}, features=features)


@pytest.fixture
def hub(monkeypatch):
    calls = []

    def install(result):
        def fake(*arguments, **settings):
            calls.append((arguments, settings))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(datasets, "load_dataset", fake)
        return calls

    return install


def test_splits_and_class_names(hub):
    calls = hub(
        datasets.DatasetDict({"train": split(6), "dev": split(4), "test": split(2), "extra": split(2)})
    )
    data = load_dataset(DataConfig(source="hub:dair-ai/emotion:split"), TaskConfig(), seed=1)
    assert [len(part) for part in data.splits().values()] == [6, 4, 2]
    assert [example.label for example in data.train[:3]] == ["sadness", "joy", "sadness"]
    assert data.inferred["splits_left_out"] == "extra"
    assert "class names" in data.inferred["label_names"]
    (arguments, settings) = calls[0]
    assert arguments == ("dair-ai/emotion", "split")
    assert "trust_remote_code" not in settings


def test_splits_that_name_integers_differently_are_refused(hub):
    other = split(2).cast_column("label", datasets.ClassLabel(names=NAMES[::-1]))
    hub(datasets.DatasetDict({"test": other, "train": split(6)}))
    with pytest.raises(
        DataError, match="class names of column 'label' differ from those of hub:a/b train"
    ) as caught:
        load_dataset(DataConfig(source="hub:a/b"), TaskConfig(), seed=1)
    assert caught.value.where == "hub:a/b test"


def test_a_split_with_withheld_labels_is_set_aside(hub, capsys):
    hub(datasets.DatasetDict({"train": split(12), "test": split(2, label=[-1, -1])}))
    data = load_dataset(DataConfig(source="hub:a/b"), TaskConfig(), seed=1)
    assert "The test split (hub:a/b test) has no labels" in capsys.readouterr().err
    assert data.inferred["test_set_aside"] == "2 rows without labels"
    assert {row.text for part in data.splits().values() for row in part} == {
        f"text {at} of 12" for at in range(12)
    }
    assert data.test and set(data.labels) == set(NAMES)


def test_single_withheld_labels_are_missing(hub):
    hub(datasets.DatasetDict({"train": split(6), "test": split(2, label=[1, -1])}))
    with pytest.raises(DataError, match="1 without a label") as caught:
        load_dataset(DataConfig(source="hub:a/b"), TaskConfig(), seed=1)
    assert "hub:a/b test, row 2" in caught.value.where


def test_declared_labels_must_cover_the_class_names(hub):
    hub(datasets.DatasetDict({"train": split(6)}))
    with pytest.raises(LabelError, match="Unknown label 'sadness'"):
        load_dataset(DataConfig(source="hub:a/b"), TaskConfig(labels=["sad", "joy"]), seed=1)


def test_reasoning_of_the_hub(hub):
    rows = {name: [f"{name} {at}" for at in range(8)] for name in ("question", "answer", "reasoning")}
    hub(datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}))
    train, validation = load_reasoning(ReasonerConfig(data="hub:syvai/reasoning-gen"), seed=1)
    assert (len(train), len(validation)) == (6, 2)


@pytest.mark.parametrize(
    ("error", "said", "fix"),
    [
        (ConnectionError("Couldn't reach the hub"), "ConnectionError", "network"),
        (datasets.exceptions.DatasetNotFoundError("x does not exist"), "no such data set", "HF_TOKEN"),
        (ValueError("BuilderConfig 'z' not found.\nMore"), "BuilderConfig 'z' not found", ":config"),
    ],
)
def test_hub_errors_become_ours(hub, error, said, fix):
    hub(error)
    with pytest.raises(DataError, match=said) as caught:
        load_dataset(DataConfig(source="hub:a/b"), TaskConfig(), seed=1)
    assert caught.value.where == "hub:a/b"
    assert fix in caught.value.fix


@pytest.mark.parametrize("source", ["hub:", "hub:/etc/passwd", "hub:a/b/c", "hub:../x/y"])
def test_malformed_names_never_reach_the_hub(hub, source):
    calls = hub(datasets.DatasetDict({"train": split(6)}))
    with pytest.raises(DataError, match="not of the form"):
        load_dataset(DataConfig(source=source), TaskConfig(), seed=1)
    assert not calls


def test_a_split_is_read_in_pieces(hub):
    rows = 2 * PIECE_ROWS + 3
    hub(datasets.DatasetDict({"train": split(rows), "test": split(2)}))
    data = load_dataset(DataConfig(source="hub:a/b", validation_fraction=0.1), TaskConfig(), seed=1)
    texts = [example.text for part in data.splits().values() for example in part]
    assert len(texts) == rows + 2
    assert set(texts) == {f"text {at} of {rows}" for at in range(rows)} | {"text 0 of 2", "text 1 of 2"}


def test_a_split_without_rows(hub):
    hub(datasets.DatasetDict({"train": split(6), "test": split(0)}))
    with pytest.raises(DataError, match="test split has no rows"):
        load_dataset(DataConfig(source="hub:a/b"), TaskConfig(), seed=1)
