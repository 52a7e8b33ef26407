"""Every key of the librdkafka that is installed has its place in our table, and is spelt in one way behind it."""

import ctypes
import re
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from infra.kafka.clients import consumer_config, overruled_keys
from infra.settings import client_keys as table
from infra.settings import load_settings
from schemas.errors import ConfigError

# Of confluent-kafka itself.
PYTHON_KEYS = {"logger", "on_commit", "on_delivery", "oauth_cb", "default.topic.config"}


def keys_of_librdkafka() -> set[str]:
    """What the library itself lists: it writes the table of its CONFIGURATION.md."""
    (library,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    loaded, libc = ctypes.CDLL(str(library)), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = loaded.rd_kafka_conf_properties_show.argtypes = [ctypes.c_void_p]
    with tempfile.NamedTemporaryFile() as file:
        stream = libc.fopen(file.name.encode(), b"w")
        loaded.rd_kafka_conf_properties_show(stream)
        libc.fclose(stream)
        text = Path(file.name).read_text()
    return set(re.findall(r"^([a-z0-9._]+) +\| +[CP*] +\|", text, re.MULTILINE))


def loaded(**keys: Any) -> dict[str, Any]:
    return dict(load_settings({"kafka": {"client": keys}}).kafka.client)


def test_every_key_of_the_library_has_one_place_in_the_table() -> None:
    names = keys_of_librdkafka()
    assert len(names) > 150
    assert {table.ALIASES.get(name, name) for name in names} == table.KNOWN - PYTHON_KEYS
    groups = (table.HOLDS, table.NO_MATTER, table.NOTED, table.NOT_IN_STAGE.keys(), table.OURS.keys(), table.OVERRULED)
    for one, other in combinations(groups, 2):
        assert not one & other


@pytest.mark.parametrize("alias", table.ALIASES)
def test_an_alias_is_the_key_that_it_stands_for(alias: str) -> None:
    key = table.ALIASES[alias]
    if key in table.OURS:
        with pytest.raises(ConfigError, match=re.escape(alias)):
            loaded(**{alias: "x"})
    else:
        assert loaded(**{alias: "x"}) == {key: "x"}
        assert loaded(**{key: "first", alias: "second"}) == {key: "second"}, "the later one, as in librdkafka"


def test_a_topic_key_may_have_its_prefix() -> None:
    assert loaded(**{"topic.request.required.acks": 1}) == {"acks": 1}
    assert loaded(**{"topic.metadata.refresh.sparse": True}) == {"topic.metadata.refresh.sparse": True}


@pytest.mark.parametrize("table_name", ["client", "producer", "consumer", "admin"])
@pytest.mark.parametrize("key", sorted(table.OURS))
def test_what_sightline_decides_is_refused_by_name_with_what_to_do(table_name: str, key: str) -> None:
    in_force, advice = table.OURS[key]
    with pytest.raises(ConfigError) as caught:
        load_settings({"kafka": {table_name: {key: "geheim"}}})
    assert f'kafka.{table_name}: "{key}" is decided by Sightline: {advice}' in str(caught.value)
    assert "geheim" not in str(caught.value)
    if in_force is not None:
        load_settings({"kafka": {table_name: {key: in_force}}})


@pytest.mark.parametrize("key", ["auto.commit.enable", "enable.auto.commit"])
def test_no_spelling_of_what_commits_by_itself_passes(key: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(key)):
        loaded(**{key: True})


@pytest.mark.parametrize("table_name", ["client", "consumer"])
@pytest.mark.parametrize("key", ["auto.offset.reset", "topic.auto.offset.reset"])
def test_where_reading_begins_is_ours_whatever_a_shared_table_says(table_name: str, key: str) -> None:
    settings = load_settings({"kafka": {table_name: {key: "latest"}}})
    assert consumer_config(settings, "a-group")["auto.offset.reset"] == "earliest"
    assert overruled_keys(settings) == ["auto.offset.reset"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sasl.mechanizm", "sasl.mechanism"),
        ("security_protocol", "security.protocol"),
        ("SSL.CA.LOCATION", "ssl.ca.location"),
        ("ssl.truststore.location", "ssl.ca.location"),
        ("ssl_cafile", "ssl.ca.location"),
        ("sasl.jaas.config", "sasl.username"),
    ],
)
def test_a_key_that_librdkafka_does_not_know_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(**{name: "geheim"})
    assert f'"{name}" is no key of librdkafka: did you mean "{meant}"?' in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_all_wrong_keys_of_a_table_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(**{"no.such": 1, "group.id": "x", "ssl.ca.pem": ["geheim"]})
    assert all(name in str(caught.value) for name in ("no.such", "group.id", "ssl.ca.pem"))
    assert "geheim" not in str(caught.value)


def test_keys_without_quotes_are_keys_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sightline.toml").write_text('[kafka.client]\nssl.ca.location = "/x"\n"ssl.key.location" = "/y"\n')
    monkeypatch.setenv("SIGHTLINE_KAFKA__CONSUMER__FETCH.MAX.BYTES", "5")
    kafka = load_settings().kafka
    assert kafka.client == {"ssl.ca.location": "/x", "ssl.key.location": "/y"}
    assert kafka.consumer == {"fetch.max.bytes": "5"}
