"""How right the written steps of a reasoning are."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from whylabel.evaluation.predictions import PredictionRow, write_predictions
from whylabel.run_folder import RunFolder
from whylabel.types import Prediction

GIVEN = "Start: Ann red, Bob blue. Ann and Bob swap: Ann blue, Bob red. At the end Ann has blue, not red."


@pytest.fixture
def steps(run):
    import steps

    return steps


@pytest.mark.parametrize(
    ("written", "share"),
    [
        (GIVEN, 1),
        (GIVEN.replace("Ann blue, Bob red", "Ann red, Bob red"), 2 / 3),
        ("Start: Ann red, Bob blue.", 1 / 3),
        # A step too much moves all that follow, and what is written beyond the end is not right.
        (GIVEN.replace("Ann and", "Nothing happens. Ann and"), 1 / 4),
        (f"{GIVEN} That is all.", 3 / 4),
        ("", 0),
    ],
)
def test_a_sentence_is_right_where_the_program_wrote_it_at_its_place(steps, written, share):
    assert steps.right_sentences(written, GIVEN) == pytest.approx(share)


def test_dots_take_the_place_of_the_first_sentences(steps):
    import dots

    assert dots.with_dots("Ann has red. Bob has blue. So no.", 0) == "Ann has red. Bob has blue. So no."
    assert dots.with_dots("Ann has red. Bob has blue. So no.", 2) == "... ... ... ... ... ... So no."
    assert dots.with_dots("Ann. Bob.", 5) == "... ..."


def test_numbers_do_not_end_a_sentence(steps):
    assert steps.sentences("Against A: $1.5 + $2,000. So no.") == ["Against A: $1.5 + $2,000.", "So no."]


def test_the_steps_of_every_row_are_kept_in_the_order_of_the_ids(steps, tmp_path):
    def answer(model, row_id, reasoning):
        said = Prediction(row_id, "yes", (1.0,), reasoning, "reasoned", "ok", 0.1, 5)
        return PredictionRow(model, f"text {row_id}", "yes", said)

    test = tmp_path / "test.parquet"
    rows = [{"text": f"text {n}", "reasoning": GIVEN, "steps": int(n)} for n in "312"]
    pq.write_table(pa.Table.from_pylist(rows), test)
    run_folder = RunFolder(tmp_path / "run")
    run_folder.predictions.parent.mkdir(parents=True)
    write_predictions(
        run_folder.predictions,
        [
            *(
                answer("classifier", row_id, said)
                for row_id, said in (("3", None), ("2", GIVEN), ("1", "No."))
            ),
            answer("baseline", "1", None),
        ],
    )
    assert steps.written_steps(run_folder, test) == {
        "steps": [1, 2, 3],
        "right_sentences": {"classifier reasoned": [0.0, 1.0, None]},
    }
    pq.write_table(pa.table({"text": ["text 1"], "label": ["yes"]}), test)
    assert steps.written_steps(run_folder, test) == {}


def test_the_reasoner_is_measured_by_the_condition_it_wrote_under(steps, tmp_path):
    train = tmp_path / "train.parquet"
    texts = [f"text {number}" for number in range(4)]
    pq.write_table(pa.table({"text": texts, "reasoning": [GIVEN] * 4, "steps": [1] * 4}), train)
    run_folder = RunFolder(tmp_path / "run")
    run_folder.kept.parent.mkdir(parents=True)
    written = [GIVEN, GIVEN, "Start: Ann red, Bob blue.", "No."]
    kept = {"text": texts, "reasoning": written, "condition": ["own", "label", "label", "label"]}
    pq.write_table(pa.table(kept), run_folder.kept)
    assert steps.reasoner_steps(run_folder, train) == {
        "reasoner": {
            "own": {"rows": 1, "right_sentences": 1.0, "all_right": 1.0},
            "label": {"rows": 3, "right_sentences": 0.4444, "all_right": 0.3333},
        }
    }
