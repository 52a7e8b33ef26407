"""The lag monitor: one pass over many groups on a real broker, and how long it judges what it has in memory."""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from itertools import cycle, islice
from typing import Any

from infra.kafka.errors import KafkaFailure
from infra.kafka.group_offsets import set_group_offsets
from infra.kafka.listed import ClusterTopics, GroupMember, ListedGroup, LogEnds, PartitionPlace
from infra.kafka.publisher import Publisher
from infra.kafka.sender import OutRecord, send_wait
from infra.lag.history import LagHistory
from infra.lag.look import ClusterLook, GroupLook
from infra.lag.rules.lag_time import Age, LagTimeKind, Unread
from infra.process.lifecycle import Deadline
from schemas.coordinates import TopicPartition
from schemas.errors import SightlineError
from streams.bench.report import Options, Report
from streams.bench.testbed import ASK_TIMEOUT_S, Testbed, testbed

GROUPS, PARTITIONS, RECORDS = 500, 24, 50
PASS_GOAL_S, RSS_GOAL_MIB, JUDGE_GOAL_S = 2.0, 150.0, 0.2
JUDGED_GROUPS, JUDGED_PARTITIONS = 500, 20
# As many looks as a window keeps.
LOOKS = 32
LOOK_EVERY_S = 10.0
PASSES = 5
COMMIT_TIMEOUT_S, AGAIN_S = 120.0, 0.1


def bench_lag(options: Options) -> Report:
    """A pass over 500 groups of 24 partitions, each at another offset; and 10,000 partitions judged from memory."""
    report = Report("lag")
    with testbed(SIGHTLINE_TOPICS__PARTITIONS=str(PARTITIONS)) as bed:
        _fill(bed)
        made_s = time.monotonic()
        _commit(bed)
        made_s = time.monotonic() - made_s
        found = _passes(bed)
    passes_s: list[float] = found["passes_s"]
    judged_s = [_judged_s() for _ in range(options.repeats)]
    report.ratio("first_pass_over_2_s", passes_s[0] / PASS_GOAL_S, "<=", 1.0)
    report.ratio("pass_over_2_s", statistics.median(passes_s[1:]) / PASS_GOAL_S, "<=", 1.0)
    report.ratio("rss_over_150_mib", found["rss_max_mib"] / RSS_GOAL_MIB, "<=", 1.0)
    report.ratio("10000_judged_over_200_ms", statistics.median(judged_s) / JUDGE_GOAL_S, "<=", 1.0)
    report.figures = {
        "groups": GROUPS,
        "partitions_of_a_group": PARTITIONS,
        "pass_s": [round(one, 3) for one in passes_s],
        "rss_max_mib": round(found["rss_max_mib"], 1),
        "ages_known": found["ages_known"],
        "judged_ms": [round(one * 1000) for one in judged_s],
        "commits_of_the_groups_s": round(made_s, 1),
    }
    return report


def _topics(bed: Testbed) -> tuple[str, ...]:
    return bed.topics.frames, bed.topics.batches, bed.topics.labels


def _fill(bed: Testbed) -> None:
    publisher, now_ms = Publisher(bed.settings), time.time_ns() // 1_000_000
    for number in range(RECORDS):
        for topic in _topics(bed):
            for partition in range(PARTITIONS):
                at_ms = now_ms - (RECORDS - number) * 1000
                send_wait(publisher, OutRecord(topic, None, b"x", partition=partition, timestamp_ms=at_ms))
    if left := publisher.close(ASK_TIMEOUT_S):
        raise SightlineError(f"{left} records were not acknowledged within {ASK_TIMEOUT_S:g} s")


def _commit(bed: Testbed) -> None:
    """Half of the groups have read all; each of the others stands at offsets of its own."""
    draws = random.Random(1)
    wanted = {
        f"{bed.settings.topic_prefix}group-{number}": {
            TopicPartition(topic, partition): RECORDS if number % 2 else draws.randrange(RECORDS)
            for partition in range(PARTITIONS)
        }
        for number, topic in enumerate(islice(cycle(_topics(bed)), GROUPS))
    }
    deadline = Deadline(COMMIT_TIMEOUT_S)
    while wanted:
        name, offsets = next(iter(wanted.items()))
        try:
            set_group_offsets(bed.settings, name, offsets, ASK_TIMEOUT_S)
        except KafkaFailure:
            # A topic that was just made is unknown to the coordinator for a moment.
            if deadline.expired():
                raise
            time.sleep(AGAIN_S)
        else:
            del wanted[name]


def _passes(bed: Testbed) -> dict[str, Any]:
    """In a process that does nothing else, so that the memory is that of the monitor."""
    words = [sys.executable, "-m", "streams.bench.lag_passes", f"{bed.settings.topic_prefix}group-*", str(PASSES)]
    done = subprocess.run(
        words, env={**os.environ, **bed.variables}, stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["groups"] != GROUPS:
        raise SightlineError(f"the monitor saw {found['groups']} of {GROUPS} groups")
    return found


def _judged_s() -> float:
    """The time for one judgement of groups that all lag, with full windows: no rule ends early."""
    history = LagHistory()
    for number in range(LOOKS):
        look = _look(number)
        history.add(look)
    unread = history.unread(look)
    ages = {Unread(*one): Age(3.0, LagTimeKind.EXACT) for offsets in unread.values() for one in offsets.items()}
    began_s = time.perf_counter()
    reports = history.judge(look, ages)
    took_s = time.perf_counter() - began_s
    if sum(len(report.partitions) for report in reports) != JUDGED_GROUPS * JUDGED_PARTITIONS:
        raise SightlineError("not all partitions were judged")
    return took_s


def _look(number: int) -> ClusterLook:
    """Groups that fall behind: 10 records come a look, and 9 are committed."""
    groups: list[GroupLook] = []
    ends: dict[TopicPartition, LogEnds] = {}
    end, committed = 1000 + 10 * number, 900 + 9 * number
    for group in range(JUDGED_GROUPS):
        places = [TopicPartition(f"topic-{group}", one) for one in range(JUDGED_PARTITIONS)]
        ends |= dict.fromkeys(places, LogEnds(0, end, end))
        member = GroupMember(f"member-{group}", "client", "10.0.0.1", frozenset(places))
        groups.append(
            GroupLook(ListedGroup(f"group-{group}", "Stable", "classic"), [member], dict.fromkeys(places, committed))
        )
    place = dict.fromkeys(range(JUDGED_PARTITIONS), PartitionPlace(1, (1,), (1,)))
    topics = ClusterTopics({f"topic-{group}": place for group in range(JUDGED_GROUPS)})
    at_s = number * LOOK_EVERY_S
    return ClusterLook(at_s, 1_790_000_000_000 + int(at_s * 1000), groups, ends, topics=topics)
