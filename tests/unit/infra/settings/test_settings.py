"""Settings come from file, environment and flags in that order, and every fault is told at once."""

from pathlib import Path

import pytest

from infra.settings import MIB, load_settings
from schemas.errors import ConfigError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_file_then_environment_then_flags(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "sightline.toml").write_text('topic_prefix = "file."\n[infer]\ntop_k = 3\nmodel = "null"\n')
    assert load_settings().infer.top_k == 3
    monkeypatch.setenv("SIGHTLINE_INFER__TOP_K", "4")
    assert load_settings().infer.top_k == 4
    settings = load_settings({"infer": {"top_k": 2, "model": None}})
    assert (settings.infer.top_k, settings.infer.model, settings.topic_prefix) == (2, "null", "file.")


def test_kafka_keys_pass_through_untouched(empty_folder: Path) -> None:
    (empty_folder / "sightline.toml").write_text('[kafka.consumer]\n"fetch.max.bytes" = 5\n"client.id" = "z"\n')
    assert load_settings().kafka.consumer == {"fetch.max.bytes": 5, "client.id": "z"}


def test_all_faults_at_once(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "sightline.toml").write_text("[infer]\ntop_k = 0\n[stream]\ndecode_thread = 1\n")
    monkeypatch.setenv("SIGHTLINE_CAMERA__JPEG_QUALITY", "many")
    monkeypatch.setenv("SIGHTLINE_TOPIK_PREFIX", "x")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    for place in ("infer.top_k", "stream.decode_thread", "camera.jpeg_quality", "SIGHTLINE_TOPIK_PREFIX"):
        assert place in text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_with_a_byte_order_mark_is_read(empty_folder: Path, encoding: str) -> None:
    (empty_folder / "sightline.toml").write_text("[infer]\ntop_k = 3\n", encoding)
    assert load_settings().infer.top_k == 3


def test_a_file_in_latin_1_names_itself_and_its_line(empty_folder: Path) -> None:
    (empty_folder / "sightline.toml").write_text("[redis]\nurl = 'größe'\n", "latin-1")
    with pytest.raises(ConfigError, match=r"^sightline\.toml: line 2 has a character that is not UTF-8"):
        load_settings()


def test_a_broken_file_names_itself(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "sightline.toml").write_text("[infer\n")
    with pytest.raises(ConfigError, match=r"^sightline\.toml: it is not TOML: .*line 1"):
        load_settings()
    monkeypatch.setenv("SIGHTLINE_CONFIG", "nowhere.toml")
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_settings()


def test_sizes_must_fit_together() -> None:
    with pytest.raises(ConfigError, match="max_buffer_bytes"):
        load_settings({"stream": {"max_buffer_bytes": 1000}})
    with pytest.raises(ConfigError, match="min_insync_replicas"):
        load_settings({"topics": {"replication_factor": 1, "min_insync_replicas": 2}})
    load_settings({"kafka": {"max_producer_queue_bytes": 10 * MIB}})
    with pytest.raises(ConfigError, match="max_producer_queue_bytes"):
        load_settings({"kafka": {"max_producer_queue_bytes": 10 * MIB - 1}})


@pytest.mark.parametrize("section", ["stream", "infer"])
def test_a_watchdog_that_judges_by_commits_must_see_some(section: str) -> None:
    load_settings({section: {"stall_timeout_ms": 6_000, "commit_interval_ms": 2_000}})
    with pytest.raises(ConfigError, match=rf"{section}\.stall_timeout_ms must be .* {section}\.commit_interval_ms"):
        load_settings({section: {"stall_timeout_ms": 6_000, "commit_interval_ms": 2_001}})


@pytest.mark.parametrize("text", ["auto", "full", "0-1", "7000-9200", "0-65535"])
def test_a_range_of_samples_is_auto_full_or_two_values(text: str) -> None:
    assert load_settings({"stream": {"sample_range": text}}).stream.sample_range == text


@pytest.mark.parametrize("text", ["", "automatic", "7000", "9200-7000", "5-5", "0-65536", "-5-10", "0-100000"])
def test_another_range_of_samples_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"stream\.sample_range"):
        load_settings({"stream": {"sample_range": text}})


def test_settings_are_frozen_and_secrets_are_not_printed() -> None:
    settings = load_settings({"redis": {"url": "redis://:secret@127.0.0.1:1/0"}})
    assert "secret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.topic_prefix = "x"


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "redis://:pa/ss=w0rd@db:6379/0", "redis://db:port", "http://db"])
def test_a_redis_url_that_no_client_takes_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="percent-encode") as caught:
        load_settings({"redis": {"url": url}})
    assert "w0rd" not in str(caught.value)


SECRET_FAULTS = {
    "SIGHTLINE_CAMERA": "password=geheim",
    "SIGHTLINE_KAFKA__CLIENT": "sasl.password=geheim",
    "SIGHTLINE_KAFKA": "{client: {sasl.password: geheim}}",
    "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "me:geheim@kafka:9092",
    "SIGHTLINE_REDIS__URL": "geheim@cache",
    "SIGHTLINE_HTTP__PORT": "http://me:geheim@host/",
    "SIGHTLINE_LOG__LEVEL": "me:geheim@host",
}


@pytest.mark.parametrize("name", SECRET_FAULTS)
def test_a_fault_does_not_print_a_secret_back(name: str, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, SECRET_FAULTS[name])
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "geheim" not in str(caught.value)
    assert name.split("__")[0].removeprefix("SIGHTLINE_").lower() in str(caught.value), "the setting is named"


def test_a_password_without_quotes_is_named_and_not_shown(empty_folder: Path) -> None:
    (empty_folder / "sightline.toml").write_text(
        "[camera]\npassword = 4711\n[redis]\nurl = 4712\n[http]\nport = -4713\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_settings()
    text = str(caught.value)
    assert "camera.password: Input should be a valid string (given: '***')" in text
    assert "4711" not in text and "-4713" in text
