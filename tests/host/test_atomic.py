import json

import pytest

from whylabel.host.atomic import whole_file, whole_folder, write_json, write_text


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
