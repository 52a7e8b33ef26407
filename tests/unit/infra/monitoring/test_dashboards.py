"""The committed dashboards are what their lists say, and what Grafana imports."""

import json
import re
from typing import Any

import pytest

from infra.monitoring.boards import DASHBOARDS
from infra.monitoring.draw import FOLDER, as_text, dashboard
from infra.monitoring.panels import Board

NAMES = [board.name for board in DASHBOARDS]


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_the_file_is_up_to_date(board: Board) -> None:
    assert (FOLDER / f"{board.name}.json").read_text() == as_text(board), "python -m infra.monitoring.draw"


def test_there_is_no_file_of_another_dashboard() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES) == sorted(set(NAMES))


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_it_can_be_imported_into_any_installation(board: Board) -> None:
    made: dict[str, Any] = dashboard(board)
    assert made["schemaVersion"] >= 36
    assert re.fullmatch(r"[a-z-]{1,40}", made["uid"])
    variables = {one["name"]: one for one in made["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in made["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"] and panel["targets"]
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= variables.keys(), target["expr"]


def test_no_panel_covers_another() -> None:
    for board in DASHBOARDS:
        places = [panel["gridPos"] for panel in dashboard(board)["panels"]]
        assert len({(one["x"], one["y"]) for one in places}) == len(places)
        assert all(one["x"] + one["w"] <= 24 for one in places)


def test_only_known_words_are_left_to_grafana() -> None:
    text = json.dumps([dashboard(board) for board in DASHBOARDS])
    assert set(re.findall(r"\$\{(\w+)\}", text)) == {"datasource"}
