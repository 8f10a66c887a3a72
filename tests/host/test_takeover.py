import pytest

from whylabel.errors import UsageError
from whylabel.host.takeover import check_file, check_folder, contents


def is_note(path):
    return path.suffix == ".note"


def check(path):
    check_folder(path, is_note, wanted="A model", fix="name another folder")


def test_absent_empty_and_own_folders_may_be_filled(tmp_path):
    check(tmp_path / "absent")
    check(tmp_path)
    (tmp_path / "mine.note").write_text("x")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    check(tmp_path)
    assert [path.name for path in contents(tmp_path)] == ["mine.note"]


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.mkdir()])
def test_what_somebody_else_has_put_there_is_refused_and_named(tmp_path, make):
    (tmp_path / "mine.note").write_text("x")
    make(tmp_path / "thesis.docx")
    with pytest.raises(UsageError, match=r"A model is not written .*'thesis\.docx'") as caught:
        check(tmp_path)
    assert caught.value.where == str(tmp_path) and caught.value.fix == "name another folder"


def test_many_foreign_files_are_counted(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("")
    with pytest.raises(UsageError, match=r"'0\.txt', '1\.txt', '2\.txt' and 2 more"):
        check(tmp_path)


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="needs a folder"):
        check(tmp_path / "file")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    with pytest.raises(UsageError, match="needs a folder, but this is a link that leads nowhere"):
        check(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="needs a file"):
        check_file(tmp_path, is_note, wanted="A table", fix="")
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(UsageError, match="needs a file, but this is a device"):
        check_file(tmp_path / "link", is_note, wanted="A table", fix="")


def test_a_file_is_not_written_over_what_it_is_made_from(tmp_path):
    source = tmp_path / "texts.note"
    source.write_text("x")
    (tmp_path / "link.note").symlink_to(source)
    (tmp_path / "hard.note").hardlink_to(source)
    for name in ("texts.note", "link.note", "hard.note", "../" + tmp_path.name + "/texts.note"):
        with pytest.raises(UsageError, match="would replace what it is made from"):
            check_file(tmp_path / name, is_note, wanted="A table", fix="", sources=[source])


def test_only_absent_empty_and_own_files_are_replaced(tmp_path):
    def check(name):
        check_file(tmp_path / name, is_note, wanted="A table", fix="", sources=[tmp_path / "absent"])

    (tmp_path / "own.note").write_text("x")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "foreign.csv").write_text("x")
    for name in ("absent", "own.note", "empty.csv"):
        check(name)
    with pytest.raises(UsageError, match="has not written"):
        check("foreign.csv")
