import json

import pytest

from whylabel.errors import RunFolderError
from whylabel.host.atomic import (
    as_written,
    read_json,
    remove_asides,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "data.parquet"
    with whole_file(path) as aside:
        assert aside.suffix == ".parquet"
        aside.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["data.parquet"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "data.json"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(tmp_path) == ["data.json"]


def test_a_block_that_writes_nothing_is_an_error_and_changes_nothing(tmp_path):
    write_text(tmp_path / "data.json", "old")
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "data.json"):
        pass
    assert (tmp_path / "data.json").read_text() == "old"


def test_a_kill_between_two_writes_leaves_the_old_file(tmp_path, run_and_kill):
    path = tmp_path / "data.json"
    write_text(path, "old")
    run_and_kill(
        "import sys, time, pathlib\n"
        "from whylabel.host.atomic import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as aside, aside.open('w') as file:\n"
        "    file.write('half of'); file.flush(); print('ready'); time.sleep(60)",
        path,
    )
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_folder_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "model"
    for content in ({"a": "1", "sub/b": "2"}, {"c": "3"}):
        with whole_folder(path) as aside:
            for name, text in content.items():
                (aside / name).parent.mkdir(exist_ok=True)
                (aside / name).write_text(text)
        found = {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}
        assert found == content
    assert names(tmp_path) == ["model"]


def test_a_failure_inside_leaves_the_old_folder_and_nothing_else(tmp_path):
    path = tmp_path / "model"
    with whole_folder(path) as aside:
        (aside / "weights").write_text("old")
    with pytest.raises(OSError, match="disk full"), whole_folder(path) as aside:
        (aside / "weights").write_text("half")
        raise OSError("disk full")
    assert (path / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_kill_inside_leaves_the_old_folder_and_the_next_one_cleans_up(tmp_path, run_and_kill):
    path = tmp_path / "model"
    with whole_folder(path) as aside:
        (aside / "weights").write_text("old")
    run_and_kill(
        "import sys, time, pathlib\n"
        "from whylabel.host.atomic import whole_folder\n"
        "with whole_folder(pathlib.Path(sys.argv[1])) as aside:\n"
        "    (aside / 'torn').write_text('half'); print('ready'); time.sleep(60)",
        path,
    )
    assert names(path) == ["weights"]
    with whole_folder(path) as aside:
        assert names(aside) == []
        (aside / "weights").write_text("new")
    assert (path / "weights").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_json_is_sorted_utf8_and_without_nan(tmp_path):
    path = tmp_path / "m.json"
    write_json(path, {"b": "é🤔", "a": [1, None]})
    text = path.read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"') and "é🤔" in text and text.endswith("}\n")
    assert json.loads(text) == {"a": [1, None], "b": "é🤔"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert path.read_text(encoding="utf-8") == text


def test_line_ends_stay_as_they_are(tmp_path):
    write_text(tmp_path / "t", "a\nb\r\nc")
    assert (tmp_path / "t").read_bytes() == b"a\nb\r\nc"


def test_what_killed_writers_have_left_is_removed_and_nothing_else(tmp_path):
    left = [".a.partial-12.csv", ".a.partial-3456.csv"]
    others = [
        "a.csv",
        ".a.partial-12.jsonl",
        ".ab.partial-12.csv",
        ".a.partial-x.csv",
        ".a.partial",
        "a.partial-12.csv",
    ]
    for name in (*left, *others):
        (tmp_path / name).touch()
    remove_asides(tmp_path / "a.csv")
    assert names(tmp_path) == sorted(others)


# -- JSON, back again --------------------------------------------------------------------------------------


def test_json_comes_back_as_it_was_written(tmp_path):
    values = {"é": ["\ud800", "\x9b", "\u202e", "→", 1.5, None], "a": {}}
    write_json(tmp_path / "metrics.json", values)
    assert read_json(tmp_path / "metrics.json", dict) == values
    (tmp_path / "metrics.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "cannot be read: Expecting value"),
        (b'{"a": 1', "cannot be read"),
        (b'{"a": "\xff"}', "cannot be read: 'utf-8'"),
        (b'{"a": NaN}', "cannot be read: NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"[" * 100_000, "cannot be read: "),  # too deep, which Python 3.14 words differently
        (b"[1]", "is not what whylabel writes: it holds a list, not a dict"),
        (b"null", "is not what whylabel writes"),
        (None, "is missing"),
    ],
)
def test_a_damaged_json_file_is_named_with_a_fix(tmp_path, content, expected):
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError) as caught:
        read_json(path, dict, fix="train again")
    assert expected in caught.value.what and caught.value.what.startswith("metrics.json ")
    assert caught.value.where == str(path) and caught.value.fix == "train again"


def test_values_that_whylabel_does_not_write_are_no_bug_of_it(tmp_path):
    for missed in (lambda: {}["accuracy"], lambda: None.get, lambda: float("x"), lambda: [][0]):
        with (
            pytest.raises(RunFolderError, match="is not what whylabel writes"),
            as_written(tmp_path / "m.json"),
        ):
            missed()


def test_a_page_with_half_a_character_is_written_all_the_same(tmp_path):
    write_text(tmp_path / "report.html", "a\ud800b")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "a\ufffdb"


def test_a_folder_in_the_place_of_a_file_is_named_and_stays(tmp_path):
    folder = tmp_path / "metrics.json"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(RunFolderError, match=r"in the place of metrics\.json") as caught:
        write_json(folder, {})
    assert caught.value.where == str(folder) and caught.value.fix == "move it away"
    assert [path.name for path in tmp_path.rglob("*")] == ["metrics.json", "inside"]
