"""What a worker knows of its place in the group, and the id of its transactions."""

import json

from inference.worker.group.clients import transactional_id
from inference.worker.group.joining import Joining
from infra.kafka.statistics import STANDBY_MS
from infra.settings import InferSettings


def statistics(**group: object) -> str:
    return json.dumps({"name": "sightline#consumer-1", "cgrp": group})


def test_transactional_ids_are_stable_where_the_instance_has_a_name() -> None:
    assert transactional_id(InferSettings(group_instance_id="gpu-0"), "g") == "g-gpu-0"
    assert transactional_id(InferSettings(transactional_id="t", group_instance_id="gpu-0"), "g") == "g-t"
    assert transactional_id(InferSettings(), "g") != transactional_id(InferSettings(), "g")


def test_a_worker_is_outside_until_it_is_given_partitions_or_stands_by() -> None:
    def on_empty_share(joining: Joining) -> None:
        joining.on_statistics(statistics(state="up", stateage=STANDBY_MS, assignment_size=0))

    for find_group in (Joining.on_assign, on_empty_share):
        joining = Joining()
        seen = [(joining.has_joined, joining.is_outside)]  # before the first statistics nothing is known
        joining.on_statistics(statistics(state="wait-coord", stateage=STANDBY_MS, assignment_size=0))
        seen.append((joining.has_joined, joining.is_outside))
        find_group(joining)
        seen.append((joining.has_joined, joining.is_outside))
        assert seen == [(False, False), (False, True), (True, False)]
