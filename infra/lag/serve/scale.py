"""How many workers a backlog needs: the small JSON that an autoscaler reads (KEDA's trigger `metrics-api`). Pure."""

import math
from typing import Any
from urllib.parse import parse_qs

from infra.lag.reports import GroupReport

CATCH_UP_S = 60.0


def scale_json(report: GroupReport, query: str) -> dict[str, Any]:
    """`wanted_workers`: so many work off the backlog within `catch_up_s` of the query while records come as now.

    `rate_per_worker` is what a member commits a second now. While it is not known, or is 0 because nothing waits, the
    number of workers stays as it is: an unknown rate is no reason to start or to stop any.
    """
    catch_up_s = _seconds(query)
    members = report.members or 0
    rate = report.committed_per_s / members if members else 0.0
    arriving = max(0.0, report.written_per_s)
    wanted = members
    if rate > 0:
        wanted = math.ceil((arriving + report.total_lag / catch_up_s) / rate)
    elif report.total_lag:
        wanted = max(1, members)
    return {
        "group": report.group,
        "waiting": report.total_lag,
        "lag_s": report.lag_s or 0.0,
        "workers": members,
        "rate_per_worker": round(rate, 3),
        "arriving_per_s": round(arriving, 3),
        "wanted_workers": wanted,
    }


def _seconds(query: str) -> float:
    try:
        found = float(parse_qs(query).get("catch_up_s", [""])[0])
    except ValueError:
        return CATCH_UP_S
    return found if found > 0 and math.isfinite(found) else CATCH_UP_S
