"""The table of `sightline lag` in terminals of any width: figures are never broken, and every reason is told."""

import io

import pytest
from rich.console import Console

from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.rules.lag_time import LagTimeKind
from infra.lag.rules.status import LagStatus
from infra.lag.table import LagView

LATE = "no member reads: no commit for 12 min, while 1,234,567 records wait in frames.raw/3"
HISTORY = {"sightline-stream": list(range(24)), "sightline-infer": [0] * 24}
BOTTLENECK = Bottleneck("stream", "no_process", waiting_frames=1_234_567)


def report(group: str, status: LagStatus, cause: str = "", lag: int = 0, lag_s: float | None = None) -> GroupReport:
    return GroupReport(
        group, "consumer", "Stable", status, status, cause, 12, lag, lag_s, LagTimeKind.BOUND, lag_s, 0.0, 0.0, 0, []
    )


REPORTS = [
    report("sightline-infer", LagStatus.OK),
    report("sightline-stream", LagStatus.ERR, LATE, 1_234_567, 7_300.0),
]


def shown(width: int, *, watch: bool) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(LagView(REPORTS, BOTTLENECK, HISTORY if watch else None))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_each_group_has_one_line_and_its_reason_is_told_in_full(width: int, watch: bool) -> None:
    lines = shown(width, watch=watch)
    assert all(len(line) <= width for line in lines)
    [row] = [line for line in lines if line.startswith("sightline-stream ")]
    assert all(word in row for word in ("ERR", "1,234,567", "\u2265 2.0 h", "12"))
    assert ("\u2588" in row) is watch
    text = " ".join(" ".join(line.split()) for line in lines)
    assert f"{LATE}" in (text if width < 120 else " ".join(text.split()).replace("  ", " "))
    assert "bottleneck: stream (no process)" in text or "bottleneck: stream (" in text


def test_a_narrow_table_names_the_group_of_each_reason() -> None:
    lines = shown(80, watch=False)
    assert any(line.startswith("sightline-stream: no member reads") for line in lines)
    assert not any(line.startswith("sightline-infer:") for line in lines)
