"""Tests with the real network: torch and OpenVINO are imported here, seconds and not minutes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# What the libraries say of themselves is not ours to mend.
collect_warnings = ("ignore::DeprecationWarning", "ignore::FutureWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in collect_warnings:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def model_home() -> Path:
    """The checkout's own: a converted model, good for these very sources and versions, is made once and not per run."""
    return ROOT / ".sightline"


@pytest.fixture(autouse=True)
def _home(model_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SIGHTLINE_HOME", str(model_home))
    yield
