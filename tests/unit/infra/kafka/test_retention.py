"""How long a topic keeps records, from its settings as the broker writes them."""

import math

import pytest

from infra.kafka.retention import retention_s_of


@pytest.mark.parametrize(
    ("policy", "limit_ms", "limit_bytes", "retention_s"),
    [
        ("delete", "3600000", "-1", 3600.0),
        ("compact,delete", "3600000", "-1", 3600.0),
        ("delete", "-1", "-1", math.inf),
        ("compact", "3600000", "-1", math.inf),
        ("delete", "3600000", "1000000", None),
        ("delete", None, "-1", None),
        ("delete", "soon", "-1", None),
        (None, None, None, None),
    ],
)
def test_retention_from_the_settings(
    policy: str | None, limit_ms: str | None, limit_bytes: str | None, retention_s: float | None
) -> None:
    settings = {"cleanup.policy": policy, "retention.ms": limit_ms, "retention.bytes": limit_bytes}
    assert retention_s_of(settings) == retention_s
