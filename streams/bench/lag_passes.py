"""`python -m streams.bench.lag_passes GLOB COUNT`: passes of the lag monitor, timed, and the memory that they took."""

import json
import sys
import time
from pathlib import Path

from infra.lag.monitor import LagMonitor
from infra.settings import load_settings


def main(pattern: str, count: int) -> None:
    """Print one JSON object: seconds of each pass, the largest resident set, what was seen."""
    passes_s: list[float] = []
    with LagMonitor(load_settings(), [pattern]) as monitor:
        for _ in range(count):
            began_s = time.perf_counter()
            reports = monitor.look()
            passes_s.append(time.perf_counter() - began_s)
    lagging = [one for report in reports for one in report.partitions if one.current_lag]
    found = {
        "groups": len(reports),
        "passes_s": passes_s,
        "rss_max_mib": rss_max_mib(),
        "ages_known": f"{sum(one.lag_s is not None for one in lagging)} of {len(lagging)}",
    }
    print(json.dumps(found))


def rss_max_mib() -> float:
    """The largest resident set of this process. `getrusage` counts that of the parent too, from before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
