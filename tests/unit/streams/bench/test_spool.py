"""The spool's benchmark gives both of its ratios, and leaves nothing behind."""

from pathlib import Path

import pytest

from infra.settings import MIB
from streams.bench.report import Report
from streams.bench.spool import measure_spool


def test_both_ways_have_a_ratio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    report = Report("ingest")
    measure_spool(report, 1, total_bytes=2 * MIB)
    assert set(report.ratios) == set(report.goals) == {"spool_of_disk", "spool_read_of_disk"}
    assert min(report.ratios.values()) > 0
    assert list(tmp_path.iterdir()) == []
