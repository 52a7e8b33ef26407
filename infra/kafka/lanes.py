"""What the clients of one lane have of their own, beside its topics and groups (`infra.kafka.topics`). Pure."""

from typing import Any

from infra.kafka.topics import CLIENT_ID, Lane
from infra.settings import Settings


def settings_of_lane(settings: Settings, lane: Lane) -> Settings:
    """The settings for a process of that lane; those of the live lane are as they are.

    On the replay lane every client id ends in `-replay`, so that a quota of the brokers can hold the lane back. Readers
    read committed records only, whatever the settings say: a replay writes in transactions, and one that was broken off
    must not be labelled.
    """
    if lane == "live":
        return settings
    kafka = settings.kafka
    tables: dict[str, dict[str, Any]] = {}
    for name in ("client", "producer", "consumer", "admin"):
        tables[name] = dict(getattr(kafka, name))
        given = tables[name].pop("client.id", "") or (CLIENT_ID if name == "client" else "")
        if given:
            tables[name]["client.id"] = f"{given}-replay"
    tables["consumer"]["isolation.level"] = "read_committed"
    return settings.model_copy(update={"kafka": kafka.model_copy(update=tables)})
