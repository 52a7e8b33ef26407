"""`sightline audit`: proves that every frame of a time range has become a label or a dead letter (`infra.audit`)."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from infra.audit.audit import Audit
from infra.audit.balance import Balance
from infra.commands.options import FromOption, JsonOption, LaneOption, ToOption
from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.process.times import now_us, parse_time_range
from infra.replay.gaps import missed
from infra.replay.progress import read_all
from infra.settings import load_settings
from schemas.errors import Unavailable
from sinks.audit.text import describe, gap_notes

WaitOption = Annotated[
    float,
    typer.Option("--wait", metavar="SEC", min=0, help="Wait up to this long for frames that have no outcome yet."),
]


def command(
    *,
    from_: FromOption = None,
    to: ToOption = None,
    wait_s: WaitOption = 0.0,
    as_json: JsonOption = False,
    lane: LaneOption = "live",
) -> None:
    """Prove that every frame of a time range has an outcome: a label or a dead letter.

    Without --from and --to the range is every frame that Kafka still holds. If a frame has no outcome, its coordinates
    are printed and the exit code is 1. With --json the result is one JSON object. With `--lane replay` it also tells
    what replays could not read any more, which is not on the lane.
    """
    settings = load_settings()
    logs.setup(settings.log)
    from_us, to_us = parse_time_range(from_, to, now_us())
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    require_topics(settings, reads=[names.frames, names.labels, names.dead])
    with Reader(settings) as reader:
        audit = Audit.of_time(settings, reader, lane, from_us, to_us)
        balance = audit.settle(Deadline(wait_s).remaining_s)
    gaps, notes = [], audit.notes(balance)
    if lane == "replay":
        try:
            gaps = missed(read_all(settings).values(), from_us, to_us)
        except Unavailable as error:
            notes.append(f"what replays could not read is not known: {error}")
        notes += gap_notes(gaps)
    if as_json:
        found = {**audit_json(audit, balance), "notes": notes}
        print(json.dumps({**found, "gaps": [gap.as_json() for gap in gaps]} if lane == "replay" else found))
    else:
        print(describe(balance, notes))
    if not balance.ok:
        sys.exit(1)


def audit_json(audit: Audit, balance: Balance) -> dict[str, Any]:
    """The object that `audit --json` prints. Its keys are a contract."""
    return {**asdict(balance), "ok": balance.ok, "notes": audit.notes(balance)}
