"""What the gateway keeps on disk."""

import stat
from pathlib import Path

import pytest

from ingest.gateway.keys import Key, digest_of, new_token
from ingest.gateway.store import FILE, Answered, Store
from schemas.errors import ConfigError


def test_keys_are_kept_as_digests_and_a_name_stays_taken(tmp_path: Path) -> None:
    token = new_token()
    key = Key("shop", digest_of(token), ("upload", "labels"), 5, 2.5, 100, "https://example.org/", "whsec_x")
    with Store(tmp_path) as store, Store(tmp_path) as other:
        before = other.version()
        store.add_key(key)
        assert other.version() != before, "a running gateway notices"
        assert other.keys() == [key]
        with pytest.raises(ConfigError, match="--renew"):
            store.add_key(key)
        store.add_key(Key("shop", "new", ("upload",), 6, signing_secret="s"), renew=True)
        [renewed] = store.keys()
        assert renewed.digest == "new"
        assert store.remove_key("shop")
        assert not store.remove_key("shop")
        assert store.keys() == []
        with pytest.raises(ConfigError):
            store.add_key(key)
    assert token.encode() not in (tmp_path / FILE).read_bytes()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_answers_are_kept_for_a_time_and_in_a_number(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(10):
            store.keep_answer("shop", str(number), Answered("f", 202, "{}"), number)
        store.trim_answers(2, 5)
        assert [number for number in range(10) if store.answer("shop", str(number), 0)] == [5, 6, 7, 8, 9]
        assert store.answer("shop", "6", 7) is None, "too old"
        assert store.answer("other", "7", 0) is None, "of another key"


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store(tmp_path / "file" / "state")
