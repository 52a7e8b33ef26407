"""What librdkafka's statistics (its STATISTICS.md) tell of a group member. Pure."""

import json
from typing import Any

# With KIP-848 no callback announces an empty share. A member that is in the group for this long without a partition
# counts as standing by.
STANDBY_MS, STATISTICS_MS = 10_000, 5_000
# A member of KIP-848 sends its first heartbeat as soon as it has found its coordinator.
HEARTBEAT_MS = 1_000


def stands_by(statistics: str, after_ms: int = STANDBY_MS) -> bool:
    """Whether they are of a member that has had no partition for a while.

    Its join state stays `init` meanwhile, so the state of the connection to the group's coordinator is used.
    """
    group = json.loads(statistics).get("cgrp", {})
    return bool(group.get("state") == "up" and group["stateage"] >= after_ms and not group["assignment_size"])


def lacks_kip_848(statistics: str, subscribed_after_s: float) -> bool:
    """Whether they are of a member that asks for KIP-848 and whose coordinator does not know it.

    librdkafka then sends no heartbeat and says nothing, for ever. `subscribed_after_s`: the client's age when it
    subscribed; statistics from before, which can be served late, say nothing.
    """
    found = json.loads(statistics)
    group = found.get("cgrp", {})
    if group.get("state") != "up" or group["stateage"] < HEARTBEAT_MS:
        return False
    if found["age"] / 1_000 < subscribed_after_s * 1_000 + HEARTBEAT_MS:
        return False
    return not any(broker["req"].get("ConsumerGroupHeartbeat") for broker in found["brokers"].values())


def lag_offsets(statistics: str, topic: str) -> int:
    """Offsets of this member's partitions of the topic that lie behind what is committed."""
    partitions: dict[str, Any] = json.loads(statistics).get("topics", {}).get(topic, {}).get("partitions", {})
    lags = [one["consumer_lag"] for one in partitions.values() if one.get("fetch_state") not in ("none", "stopped")]
    return sum(lag for lag in lags if lag > 0)
