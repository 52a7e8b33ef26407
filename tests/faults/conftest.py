"""Fixtures: one cluster for all cases, one rig for each case, and the seed of the run, printed with failures."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.cluster import Cluster
    from tests.faults.rig import Rig

SEED_VARIABLE = "FAULTS_SEED"
SEED = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1_000_000))
CASE_TIMEOUT_S = 420

RigMaker = Callable[..., "Rig"]


def pytest_report_header() -> str:
    return f"faults: seed {SEED} (repeat with {SEED_VARIABLE}={SEED})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.faults)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(CASE_TIMEOUT_S))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections.append(("seed", f"{SEED_VARIABLE}={SEED} {item.nodeid}"))


@pytest.fixture(scope="session")
def seed() -> int:
    return SEED


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Cluster"]:
    from tests.faults.cluster import cluster as new_cluster

    with new_cluster(tmp_path_factory.mktemp("faults"), random.Random(SEED)) as made:
        yield made


@pytest.fixture
def make_rig(cluster: "Cluster", seed: int) -> Iterator[RigMaker]:
    """`make_rig("case", SIGHTLINE_...="...")`: a rig that is cleaned up at the end of the test."""
    from tests.faults.rig import rig

    with ExitStack() as stack:

        def make(case: str, **variables: str) -> "Rig":
            made: AbstractContextManager[Rig] = rig(case, cluster, seed, **variables)
            return stack.enter_context(made)

        yield make
