"""The client's keys of a group member in both group protocols."""

from typing import Any

import pytest

from infra.kafka.membership import (
    GroupProtocol,
    Membership,
    classic_config,
    is_incremental,
    member_config,
    membership_keys,
    protocol_of,
)
from infra.settings import Settings, load_settings

CLASSIC_KEYS = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}


def with_keys(**keys: Any) -> Settings:
    return load_settings({"kafka": {"consumer": {name.replace("_", "."): value for name, value in keys.items()}}})


def test_session_and_assignment_are_the_brokers_business_with_kip_848() -> None:
    keys = membership_keys(Membership("consumer", group_instance_id="gpu-0"))
    assert (keys["group.protocol"], keys["group.instance.id"]) == ("consumer", "gpu-0")
    assert not keys.keys() & CLASSIC_KEYS
    classic = membership_keys(Membership(max_poll_interval_ms=4_000))
    assert classic["partition.assignment.strategy"] == "cooperative-sticky"
    assert "group.instance.id" not in classic
    assert classic["session.timeout.ms"] == 4_000, "the client refuses a session that is longer than the poll interval"
    assert classic["session.timeout.ms"] >= 3 * classic["heartbeat.interval.ms"]


@pytest.mark.parametrize("asked", ["consumer", "classic"])
@pytest.mark.parametrize("own", ["consumer", "classic"])
def test_the_protocol_that_the_user_names_has_its_own_keys(asked: GroupProtocol, own: str) -> None:
    config = member_config(with_keys(group_protocol=own), "g", Membership(asked), {}, {})
    assert protocol_of(config) == own
    assert bool(config.keys() & CLASSIC_KEYS) == (own == "classic")
    assert is_incremental(config)


def test_the_users_keys_overrule_and_forced_ones_overrule_them() -> None:
    settings = with_keys(session_timeout_ms=9_000, fetch_wait_max_ms=7)
    config = member_config(settings, "g", Membership(), {"statistics.interval.ms": 200}, {"fetch.wait.max.ms": 1})
    assert (config["session.timeout.ms"], config["statistics.interval.ms"], config["fetch.wait.max.ms"]) == (
        9_000, 200, 1,
    )  # fmt: skip


def test_the_classic_protocol_takes_no_key_of_the_other() -> None:
    settings = with_keys(group_protocol="consumer", group_remote_assignor="uniform", session_timeout_ms=9_000)
    config = classic_config(settings, "g", Membership("consumer"), {}, {"auto.offset.reset": "error"})
    assert not config.keys() & {"group.protocol", "group.remote.assignor"}
    assert config["session.timeout.ms"] == 9_000 and config["auto.offset.reset"] == "error"
    assert is_incremental(config)


def test_without_a_membership_the_client_decides() -> None:
    config = member_config(load_settings(), "g", None, {}, {})
    assert not config.keys() & {*CLASSIC_KEYS, "group.protocol"}
    assert not is_incremental(config)
