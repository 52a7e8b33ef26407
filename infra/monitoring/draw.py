"""Grafana dashboards from short lists of panels: `python -m infra.monitoring.draw` writes the folder dashboards.

The files are committed, so that they can be imported as they are; a test holds them to these lists. Pure but `main`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.monitoring.boards import DASHBOARDS
from infra.monitoring.panels import Board, Panel

FOLDER = Path(__file__).parent / "dashboards"
# Of Grafana 11; older ones from 9 on read it too.
SCHEMA_VERSION = 39
WIDTH, HEIGHT, COLUMNS = 8, 8, 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# By the kind of a panel: what Grafana asks Prometheus for, and how it shows the answer.
ASKED: Mapping[str, Mapping[str, Any]] = {
    "timeseries": {"instant": False, "range": True},
    "table": {"instant": True, "range": False, "format": "table"},
    "heatmap": {"instant": False, "range": True, "format": "heatmap"},
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}},
    "heatmap": {"calculate": False, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64}},
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands on Grafana's grid of 24 columns."""

    x: int
    y: int

    def as_json(self) -> dict[str, int]:
        return {"x": self.x, "y": self.y, "w": WIDTH, "h": HEIGHT}


def dashboard(board: Board) -> dict[str, Any]:
    """The object that Grafana imports: the data source is a variable, so that it fits any installation."""
    return {
        "uid": f"sightline-{board.name}",
        "title": f"Sightline: {board.title}",
        "tags": ["sightline"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *(_variable(*one) for one in board.variables.items())]},
        "links": [{"type": "dashboards", "tags": ["sightline"], "title": "Sightline", "asDropdown": True}],
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    per_row = COLUMNS // WIDTH
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": Place(WIDTH * (number % per_row), HEIGHT * (number // per_row)).as_json(),
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": OPTIONS.get(panel.kind, {}),
        "targets": _targets(panel.queries, ASKED[panel.kind]),
    }


def _targets(queries: Sequence[tuple[str, str]], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": query, "legendFormat": legend, **asked}
        for number, (query, legend) in enumerate(queries)
    ]


def as_text(board: Board) -> str:
    """The content of the dashboard's file."""
    return json.dumps(dashboard(board), indent=1) + "\n"


def main() -> None:
    """Write all files anew."""
    for board in DASHBOARDS:
        (FOLDER / f"{board.name}.json").write_text(as_text(board))


if __name__ == "__main__":
    main()
