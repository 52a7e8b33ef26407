"""What librdkafka's statistics (its STATISTICS.md) tell of a group member. Pure."""

import json
from typing import Any

# An empty share is announced by no callback in KIP-848; this long in the group without one means standing by.
STANDBY_MS, STATISTICS_MS = 10_000, 5_000


def stands_by(statistics: str) -> bool:
    """Whether they are of a member that was given nothing for a while.

    Its join state says `init` for as long, so the state of the coordinator's connection has to do.
    """
    group = json.loads(statistics).get("cgrp", {})
    return bool(group.get("state") == "up" and group["stateage"] >= STANDBY_MS and not group["assignment_size"])


def lag_offsets(statistics: str, topic: str) -> int:
    """Offsets of this member's partitions of the topic that lie behind what is committed."""
    partitions: dict[str, Any] = json.loads(statistics).get("topics", {}).get(topic, {}).get("partitions", {})
    lags = [one["consumer_lag"] for one in partitions.values() if one.get("fetch_state") not in ("none", "stopped")]
    return sum(lag for lag in lags if lag > 0)
