"""What librdkafka's statistics (its STATISTICS.md) tell of a group member. Pure."""

import json
from typing import Any

# With KIP-848 no callback announces an empty share. A member that is in the group for this long without a partition
# counts as standing by.
STANDBY_MS, STATISTICS_MS = 10_000, 5_000


def stands_by(statistics: str, after_ms: int = STANDBY_MS) -> bool:
    """Whether they are of a member that has had no partition for a while.

    Its join state stays `init` meanwhile, so the state of the connection to the group's coordinator is used.
    """
    group = json.loads(statistics).get("cgrp", {})
    return bool(group.get("state") == "up" and group["stateage"] >= after_ms and not group["assignment_size"])


def lag_offsets(statistics: str, topic: str) -> int:
    """Offsets of this member's partitions of the topic that lie behind what is committed."""
    partitions: dict[str, Any] = json.loads(statistics).get("topics", {}).get(topic, {}).get("partitions", {})
    lags = [one["consumer_lag"] for one in partitions.values() if one.get("fetch_state") not in ("none", "stopped")]
    return sum(lag for lag in lags if lag > 0)
