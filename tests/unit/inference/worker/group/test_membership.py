"""What a worker knows of its place in the group, and the clients' keys."""

import json

from inference.worker.group.clients import transactional_id
from inference.worker.group.membership import Membership, membership_keys
from infra.kafka.statistics import STANDBY_MS
from infra.settings import InferSettings


def statistics(**group: object) -> str:
    return json.dumps({"name": "sightline#consumer-1", "cgrp": group})


def test_session_and_assignment_are_the_brokers_business_with_kip_848() -> None:
    settings = InferSettings(group_instance_id="gpu-0")
    keys = membership_keys(settings)
    assert keys["group.protocol"] == "consumer"
    assert keys["group.instance.id"] == "gpu-0"
    assert not keys.keys() & {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
    classic = membership_keys(InferSettings(group_protocol="classic"))
    assert classic["partition.assignment.strategy"] == "cooperative-sticky"
    assert classic["session.timeout.ms"] >= 3 * classic["heartbeat.interval.ms"]


def test_transactional_ids_are_stable_where_the_instance_has_a_name() -> None:
    assert transactional_id(InferSettings(group_instance_id="gpu-0"), "g") == "g-gpu-0"
    assert transactional_id(InferSettings(transactional_id="t", group_instance_id="gpu-0"), "g") == "g-t"
    assert transactional_id(InferSettings(), "g") != transactional_id(InferSettings(), "g")


def test_a_worker_is_outside_until_it_is_given_partitions_or_stands_by() -> None:
    def on_empty_share(membership: Membership) -> None:
        membership.on_statistics(statistics(state="up", stateage=STANDBY_MS, assignment_size=0))

    for find_group in (Membership.on_assign, on_empty_share):
        membership = Membership()
        seen = [(membership.has_joined, membership.is_outside)]  # before the first statistics nothing is known
        membership.on_statistics(statistics(state="wait-coord", stateage=STANDBY_MS, assignment_size=0))
        seen.append((membership.has_joined, membership.is_outside))
        find_group(membership)
        seen.append((membership.has_joined, membership.is_outside))
        assert seen == [(False, False), (False, True), (True, False)]
