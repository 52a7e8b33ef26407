"""`sightline bench` runs to its end and reports every ratio. The runs are small, so the values are not checked.

`cache`, `e2e`, `latency`, `delivery`, `lag`, `replay` and `gateway` take up to a minute each even with small runs, so
only `make bench` runs them.
"""

import json
import math

import pytest

from tests.support.runner import Runner

SMALL = ("--frames", "200", "--repeats", "1", "--model", "null")
RATIOS = {
    "stream": {"stream_over_bare_decode_loop"},
    "infer": {"worker_over_bare_model"},
    "kafka": set(),
}


@pytest.mark.parametrize("name", RATIOS)
def test_every_ratio_is_answered(sightline: Runner, name: str) -> None:
    done = sightline.run("bench", name, "--json", *SMALL, timeout_s=180)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"name", "ratios", "goals", "figures", "machine"}
    assert report["name"] == name
    assert set(report["ratios"]) == RATIOS[name]
    assert all(math.isfinite(value) and value > 0 for value in report["ratios"].values())
    assert report["goals"].keys() <= report["ratios"].keys()
    assert report["figures"]
    assert report["machine"]["cores"] >= 1
