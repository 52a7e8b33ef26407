"""The table of a run: one row per case, kept as JSON and as markdown while the suite goes on."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tests.faults.ledger import Ledger
from tests.support.paths import ROOT

VARIABLE = "FAULTS_RESULTS"
DEFAULT = ROOT / ".sightline" / "faults"


@dataclass(frozen=True)
class Row:
    """`recover_s`: seconds from the end of a fault (a kill ends at once) until every source has an outcome of a newer
    frame; the longest where there were several faults.

    `restarts`: starts after the first, by process; `ended`: how often a process ended by itself, without our signal.
    """

    case: str
    frames: int
    dead: int
    lost: int
    duplicates: int
    duplicates_left: int
    out_of_order: int
    recover_s: float | None
    restarts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    max_mib: dict[str, float] = field(default_factory=dict)
    slope_mib_per_min: dict[str, float | None] = field(default_factory=dict)


def row_of(case: str, ledger: Ledger, recover_s: float | None) -> Row:
    return Row(
        case,
        # Of a camera agent's frames the test knows only those that are on the topic.
        ledger.frames or ledger.written,
        ledger.dead,
        len(set(ledger.lost) | set(ledger.gone)) + ledger.nowhere,
        ledger.duplicates,
        ledger.duplicates_left,
        ledger.out_of_order,
        recover_s,
    )


def folder() -> Path:
    """The folder of the results on this machine: $FAULTS_RESULTS, else `.sightline/faults`."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def add(row: Row, seed: int) -> None:
    """Store the row in place of an earlier one of the same case, and rewrite the table."""
    file = folder() / "results.json"
    kept = json.loads(file.read_text())["rows"] if file.exists() else {}
    kept[row.case] = {**asdict(row), "seed": seed}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine(), "rows": kept}, indent=1))
    (folder() / "results.md").write_text(table(list(kept.values())))


def table(rows: list[dict[str, object]]) -> str:
    head = [
        "case",
        "frames",
        "of these dead letters",
        "lost",
        "duplicates",
        "after deduplication",
        "out of order",
        "recovered after",
        "restarts",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" + "|--:" * (len(head) - 1) + "|"]
    for row in rows:
        restarts = row["restarts"]
        assert isinstance(restarts, dict)
        recover = row["recover_s"]
        cells = [row["case"], row["frames"], row["dead"], row["lost"], row["duplicates"], row["duplicates_left"]]
        cells += [row["out_of_order"], "" if recover is None else f"{recover:.1f} s", sum(restarts.values())]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The machine that the figures were measured on, in words."""
    memory_gib = psutil.virtual_memory().total / 1024**3
    parts = (f"{os.cpu_count()} cores ({platform.machine()})", f"{memory_gib:.0f} GiB", platform.system())
    return ", ".join((*parts, f"Python {platform.python_version()}"))
