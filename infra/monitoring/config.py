"""The configuration of a local Prometheus and Alertmanager. Pure. Both read YAML, and JSON is YAML."""

import json
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
RULES = HERE / "rules.yml"
EXAMPLE = HERE / "alertmanager.yml"


def prometheus_config(lag_port: int, alertmanager_port: int) -> str:
    """Scrapes the lag monitor, and whatever it names: the processes of ours that say where their metrics are."""
    return json.dumps(
        {
            "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
            "rule_files": [str(RULES)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]},
            "scrape_configs": [
                {
                    "job_name": "sightline-lag",
                    # The published dashboard of kafka-lag-exporter shows nothing without a label `namespace`.
                    "static_configs": [{"targets": [f"127.0.0.1:{lag_port}"], "labels": {"namespace": "sightline"}}],
                },
                {
                    "job_name": "sightline",
                    "http_sd_configs": [{"url": f"http://127.0.0.1:{lag_port}/v1/targets", "refresh_interval": "10s"}],
                },
            ],
        },
        indent=1,
    )


def alertmanager_config(webhooks: Sequence[str]) -> str:
    """The example's routes and inhibitions, with these webhooks as the receiver; without one, alerts are shown only."""
    routes, _, _ = EXAMPLE.read_text().partition("\nreceivers:")
    people = {"name": "people", "webhook_configs": [{"url": url, "send_resolved": True} for url in webhooks]}
    return f"{routes}\nreceivers: {json.dumps([people, {'name': 'watchdog'}])}\n"
