"""What the brokers can do and what they let this client do, found out by doing it, for `sightline doctor`."""

import time
from functools import partial

from infra.kafka.api_versions import knows_kip_848
from infra.kafka.clients import admin
from infra.kafka.consumer import GroupConsumer, PartitionFault
from infra.kafka.errors import FaultKind
from infra.kafka.membership import GroupProtocol, Membership
from infra.kafka.rights import missing_topic_rights
from infra.kafka.start_checks import missing_group_rights
from infra.kafka.statistics import stands_by
from infra.kafka.topics import TopicNames, group, specs
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import TopicPartition

POLL_S = 0.1
STATISTICS_MS = 200
LEAVE_S = 3.0
# A member that the coordinator has not refused for so long is in its group, also without a topic to be given.
ACCEPTED_MS = 2_000


def lacking_rights(settings: Settings) -> list[str]:
    """The rights of all commands together that the client's user does not have: `Write on topic frames.raw`, ..."""
    timeout_s = settings.kafka.start_timeout_ms / 1000
    topics = [spec.name for spec in specs(settings)]
    lacking = missing_topic_rights(admin(settings), topics, topics, timeout_s)
    names = TopicNames.for_lane(settings.topic_prefix)
    read_by = {"stream": names.frames, "retry": names.retry, "infer": names.batches}
    groups = {group(kind, settings.topic_prefix): topic for kind, topic in read_by.items()}
    return lacking + missing_group_rights(settings, groups)


def usable_group_protocol(settings: Settings) -> GroupProtocol | None:
    """The protocol that a worker gets who asks for KIP-848; None without an answer in time.

    Joins a group of its own, `sightline-doctor`, which owns nothing afterwards: joining the workers' group would move
    their partitions.
    """
    joining = _Joining()
    member = GroupConsumer(
        settings,
        group("doctor", settings.topic_prefix),
        on_statistics=joining.on_statistics,
        membership=Membership("consumer"),
        defaults={"statistics.interval.ms": STATISTICS_MS},
        knows_kip_848=partial(knows_kip_848, settings),
    )
    end_s = time.monotonic() + settings.kafka.start_timeout_ms / 1000
    try:
        member.subscribe([TopicNames.for_lane(settings.topic_prefix).batches], joining)
        while time.monotonic() < end_s:
            if member.group_protocol == "classic" or joining.has_joined:
                return member.group_protocol
            found = member.poll(POLL_S)
            if isinstance(found, PartitionFault) and (found.fault.is_fatal or found.fault.kind is FaultKind.FORBIDDEN):
                return None
        return None
    finally:
        member.close_within(Deadline(LEAVE_S))


class _Joining:
    """Whether the member is in its group."""

    def __init__(self) -> None:
        self.has_joined = False

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        self.has_joined = True

    def on_revoke(self, partitions: list[TopicPartition]) -> None: ...

    def on_lost(self, partitions: list[TopicPartition]) -> None: ...

    def on_statistics(self, statistics: str) -> None:
        self.has_joined = self.has_joined or stands_by(statistics, ACCEPTED_MS)
