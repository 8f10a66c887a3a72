import json

import pytest

from evaluated_runs import answers, test_rows, write_evaluated
from whylabel.cli.main import main


@pytest.fixture
def runs(tmp_path):
    rows = test_rows()
    for at, name in enumerate(("a", "b")):
        said = {
            "baseline": answers(rows, 0.4 + 0.1 * at, at),
            "classifier": answers(rows, 0.6 + 0.1 * at, at + 9, "reasoned"),
        }
        write_evaluated(tmp_path / name, rows, said, training__learning_rate=10.0 ** -(at + 4))
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_every_pair_is_printed(runs, capsys):
    assert main(["compare", *runs]) == 0
    out = capsys.readouterr().out
    assert "4  b: classifier," in out and "4 − 1" in out and "120 test rows" in out
    assert "b: classifier, reasoned has the best accuracy" in out


def test_json_has_all_figures(runs, capsys):
    assert main(["compare", *runs, "--model", "classifier", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in found["arms"]] == ["a: classifier, reasoned", "b: classifier, reasoned"]
    assert found["pairs"][0]["test"] == "exact McNemar" and found["n"] == 120


def test_one_arm_can_be_named_by_its_number(runs, capsys):
    for name in ("2", "a: classifier, reasoned"):
        assert main(["compare", *runs, "--against", name, "--json"]) == 0
        pairs = json.loads(capsys.readouterr().out)["pairs"]
        assert {pair["against"] for pair in pairs} == {"a: classifier, reasoned"} and len(pairs) == 3


def test_a_page_is_written_and_written_again(runs, tmp_path, capsys):
    page = tmp_path / "page.html"
    for _ in range(2):
        assert main(["compare", *runs, "--html", str(page)]) == 0
    assert "whylabel comparison" in page.read_text()
    page.write_text("mine")
    assert main(["compare", *runs, "--html", str(page)]) == 2
    assert page.read_text() == "mine"
    assert "would replace a file that whylabel has not written" in capsys.readouterr().err


def test_other_rows_are_exit_code_2_with_the_reason(runs, tmp_path, capsys):
    rows = test_rows(60)
    write_evaluated(tmp_path / "c", rows, {"baseline": answers(rows, 0.5, 1)})
    assert main(["compare", runs[0], str(tmp_path / "c")]) == 2
    err = capsys.readouterr().err
    assert "c and a cannot be compared: 60 rows are only in a and 0 only in c" in err and "fix:" in err


def test_damaged_predictions_are_named(runs, tmp_path, capsys):
    (tmp_path / "a" / "evaluation" / "predictions.parquet").write_bytes(b"PAR1")
    assert main(["compare", *runs]) == 2
    assert "The predictions cannot be read" in capsys.readouterr().err
