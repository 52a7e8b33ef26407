"""`sightline camera status`: what all camera agents say of their cameras on `pipeline.status`."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.commands.options import JsonOption
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.process import logs
from infra.process.times import now_us
from infra.settings import load_settings
from infra.status.statuses import StatusTopic
from schemas.records import Micros, ProcessStatus, SourceStatus

COLOURS = {"up": "green", "excellent": "green", "fair": "yellow", "poor": "red", "unusable": "red", "down": "red"}


def command(as_json: JsonOption = False) -> None:
    """Show the health of every camera: its state, rate, reconnects, stalls, connection quality and drops.

    With --json one array. An agent that has said nothing for 20 s is not listed.
    """
    settings = load_settings()
    logs.setup(settings.log)
    with Reader(settings) as reader:
        now = now_us()
        rows = camera_rows(StatusTopic(settings, reader, registry_of(settings)).look(now), now)
    if as_json:
        print(json.dumps(rows))
    elif rows:
        Console().print(table_of(rows))
    else:
        print("no camera agent says anything on pipeline.status")


def camera_rows(processes: Sequence[ProcessStatus], now: Micros) -> list[dict[str, Any]]:
    """One object for each camera, by its id; a camera that two agents have is listed twice."""
    rows = [
        _row(process, source, now) for process in processes if process.stage == "ingest" for source in process.sources
    ]
    return sorted(rows, key=lambda row: (row["source_id"], row["agent"]))


def _row(process: ProcessStatus, source: SourceStatus, now: Micros) -> dict[str, Any]:
    last = source.last_frame_at
    return {
        "source_id": source.source_id,
        "state": source.state,
        "fps": None if source.taken_per_s is None else round(source.taken_per_s, 2),
        "expected_fps": source.expected_per_s,
        "published_fps": round(source.frames_per_s, 2),
        "last_frame_age_s": None if last is None else max(0.0, round((now - last) / 1e6, 1)),
        "reconnects_last_hour": source.reconnects_last_hour,
        "stalls_last_hour": source.stalls_last_hour,
        "quality": source.quality,
        "dropped": dict(source.dropped),
        "spooled_frames": source.spooled_frames,
        "reason": source.reason,
        "agent": process.process_id,
    }


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """The same for people."""
    table = Table(box=None)
    for title in (
        "camera",
        "state",
        "fps",
        "last frame",
        "reconnects",
        "stalls",
        "quality",
        "dropped",
        "on disk",
        "why",
    ):
        table.add_column(
            title, justify="left" if title in ("camera", "state", "quality", "dropped", "why") else "right"
        )
    for row in rows:
        age_s = row["last_frame_age_s"]
        cells = [
            row["source_id"],
            _coloured(row["state"]),
            f"{_number(row['fps'])} of {_number(row['expected_fps'])}",
            "never" if age_s is None else f"{age_s:.1f} s ago",
            _number(row["reconnects_last_hour"]),
            _number(row["stalls_last_hour"]),
            _coloured(row["quality"] or ""),
            ", ".join(f"{count} {reason}" for reason, count in sorted(row["dropped"].items())),
            _number(row["spooled_frames"]),
            Text(row["reason"] or ""),
        ]
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    return table


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, ""))
