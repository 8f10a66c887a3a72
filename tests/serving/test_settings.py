import pytest

from whylabel.errors import UsageError
from whylabel.serving.settings import ServeSettings, host_name, is_local, read_keys

KEY = "0123456789abcdef"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", ""])
def test_another_address_needs_a_key(host):
    with pytest.raises(UsageError, match="Without a key"):
        ServeSettings("m", host=host)
    assert ServeSettings("m", host=host, keys=(KEY,)).host_names is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_this_machine_needs_none(host):
    assert is_local(host)
    assert host_name(host) in ServeSettings("m", host=host).host_names


@pytest.mark.parametrize("key", ["short", "ä" * 20])
def test_unusable_keys(key):
    with pytest.raises(UsageError, match="16 ASCII"):
        ServeSettings("m", keys=(key,))


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("WHYLABEL_API_KEY", raising=False)
    assert read_keys(None) == ()
    monkeypatch.setenv("WHYLABEL_API_KEY", f" {KEY}\n")
    assert read_keys(None) == (KEY,)
    file = tmp_path / "keys"
    file.write_text("# ours\none\n\ntwo\n")
    assert read_keys(file) == ("one", "two")
    file.write_text("one\n", encoding="utf-8-sig")
    assert read_keys(file) == ("one",)
    file.write_bytes("# für uns\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_keys(file)
    file.write_text("# none\n")
    with pytest.raises(UsageError, match="no key"):
        read_keys(file)
