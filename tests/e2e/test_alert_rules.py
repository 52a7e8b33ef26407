"""Every alert fires when it should, not before, and resolves: `promtool test rules` on a table of series."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.alert_cases import CASES, Case
from tests.support.paths import ROOT

MONITORING = ROOT / "infra" / "monitoring"
RULES = MONITORING / "rules.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    return subprocess.run([program, *words], input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_every_alert_has_a_case_in_which_it_fires_and_resolves() -> None:
    fires = {case.alert for case in CASES if any(count for _, count in case.firing)}
    ends = {case.alert for case in CASES if case.firing[-1][1] == 0} | {"SightlineWatchdog"}
    assert {rule["alert"] for rule in rules()} == fires == fires & ends


def test_every_alert_has_a_severity_and_an_entry_in_the_runbook() -> None:
    headings = {line[3:].strip().lower() for line in RUNBOOK.read_text().splitlines() if line.startswith("## ")}
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info", "none"), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page, anchor in headings) == (RUNBOOK, True), rule["alert"]


def test_every_alert_names_the_bottleneck() -> None:
    """But for those that have no lag monitor to ask."""
    without = {"SightlineWatchdog", "SightlineLagMonitorMissing"}
    for rule in (one for one in rules() if one["alert"] not in without):
        assert 'Bottleneck: {{ . | first | label "stage" }}' in rule["annotations"]["description"], rule["alert"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{len(case.series)}-{case.labels}")
def test_the_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    chosen = f'alertname="{case.alert}",alertstate="firing"' + (f",{case.labels}" if case.labels else "")
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"count(ALERTS{{{chosen}}}) or vector(0)",
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": count}],
                    }
                    for at, count in case.firing
                ],
            }
        ],
    }
    path = tmp_path / "rules_test.yml"
    path.write_text(json.dumps(tests))
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr
