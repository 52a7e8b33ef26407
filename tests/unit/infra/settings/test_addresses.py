"""Addresses of brokers as people write them: one spelling behind it, which both Kafka clients read alike."""

import time
from ipaddress import IPv6Address
from typing import Any

import pytest
from aiokafka.conn import collect_hosts
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import load_settings
from infra.settings.addresses import PROTOCOLS, broker_addresses
from schemas.errors import ConfigError

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{1,5}){0,2}", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"))
PLACES = st.lists(st.tuples(HOSTS, st.integers(1, 65_535)), min_size=1, max_size=4, unique=True)
BETWEEN = st.sampled_from([",", ", ", ";", "; ", " ", ",,", " , ", "\n", ";\t"])
QUOTES = st.sampled_from(["", '"', "'", "“"])


@given(PLACES, st.data(), st.sampled_from(PROTOCOLS))
def test_however_it_is_written_it_means_the_same_brokers(
    places: list[tuple[str, int]], data: st.DataObject, protocol: str
) -> None:
    text = data.draw(st.sampled_from(["", " ", "\n", ",", '"', "' "]))
    for host, port in places:
        scheme = data.draw(st.sampled_from(["", f"{protocol}://", f"{protocol.upper()}://"]))
        end = data.draw(st.sampled_from(["", "/"])) if scheme else ""
        shown_port = "" if port == 9092 and data.draw(st.booleans()) else f":{port}"
        quote = data.draw(QUOTES)
        text += f"{quote}{scheme}{host}{shown_port}{end}{quote}{data.draw(BETWEEN)}"
    found = broker_addresses(text, protocol)
    assert found == ",".join(f"{host}:{port}" for host, port in places)
    assert broker_addresses(found, protocol) == found
    read = [(host, port) for host, port, _ in collect_hosts(found.split(","), randomize=False)]
    assert read == [(host.strip("[]"), port) for host, port in places], "as aiokafka reads it"


@given(st.text(max_size=40))
def test_any_other_text_is_refused_in_a_sentence_or_read(text: str) -> None:
    try:
        found = broker_addresses(text)
    except ValueError as error:
        assert str(error)
    else:
        assert broker_addresses(found) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        ("kafka", "kafka:9092"),
        ("::1", "[::1]:9092"),
        ("[0:0::1]", "[::1]:9092"),
        (":9093", "localhost:9093"),
        ("kafka_1.net.:9092", "kafka_1.net.:9092"),
        ("a:1,a:1", "a:1"),
        ("müller.example", "xn--mller-kva.example:9092"),
    ],
)
def test_spellings(text: str, found: str) -> None:
    assert broker_addresses(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "a:0", "a:70000", "a:", "a:b", "a:1:2", "http://a:1", "kafka://a", "ssl://a:9092", "a/b", "[::1", "[::g]:1",
        ",;", '""', "a:9092/topic", "[a]:1", "-a",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told_by_its_setting(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^kafka\.bootstrap_servers: "):
        load_settings({"kafka": {"bootstrap_servers": text}})


@pytest.mark.parametrize("text", ["me:geheim@kafka:9092", "ssl://me:ge heim,x@kafka", "a:1,me:geheim@b:1"])
def test_a_password_in_an_address_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match=r"sasl\.password") as caught:
        load_settings({"kafka": {"bootstrap_servers": text}})
    assert "heim" not in str(caught.value)


def test_a_protocol_before_the_address_must_be_the_one_in_force() -> None:
    kafka: dict[str, Any] = {"bootstrap_servers": "SSL://a:1", "client": {"security.protocol": "ssl"}}
    assert load_settings({"kafka": kafka}).kafka.bootstrap_servers == "a:1"
    with pytest.raises(ConfigError, match=r'SSL:// does not agree with "security\.protocol" = "plaintext"'):
        load_settings({"kafka": {"bootstrap_servers": "SSL://a:1"}})


def test_a_list_is_as_good_as_a_text() -> None:
    assert load_settings({"kafka": {"bootstrap_servers": ["a:1", "b"]}}).kafka.bootstrap_servers == "a:1,b:9092"


def test_librdkafka_reads_them_alike() -> None:
    """By its debug lines. Nothing listens on port 1."""

    class Lines:
        def __init__(self) -> None:
            self.added: set[str] = set()

        def log(self, _level: int, text: str, *args: object) -> None:
            line = text % args if args else text
            if "Added new broker" in line:
                self.added.add(line.split("/bootstrap")[0].rpartition(" ")[2].partition("://")[2] or line)

    lines = Lines()
    text = broker_addresses(f'PLAINTEXT://127.0.0.1:1; "[{IPv6Address(1)}]:1" localhost:1,')
    keys: dict[str, Any] = {"bootstrap.servers": text, "debug": "broker", "logger": lines, "error_cb": lambda _: None}
    client = AdminClient(keys)
    until = time.monotonic() + 5
    while len(lines.added) < 3 and time.monotonic() < until:
        client.poll(0.05)
    assert len(lines.added) == 3, lines.added
    assert all(any(place in line for line in lines.added) for place in ("127.0.0.1:1", "[::1]:1", "localhost:1"))
