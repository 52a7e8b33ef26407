"""Everything here needs a real broker; the fixtures of tests/conftest.py start it."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import Deployment
from tests.support.sink_records import Wire
from tests.support.stream_ends import Feed, Outcomes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture
def feed(deployment: Deployment) -> Iterator[Feed]:
    """Frames into a stream stage."""
    made = Feed(deployment)
    yield made
    made.close()


@pytest.fixture
def outcomes(deployment: Deployment) -> Iterator[Outcomes]:
    """What a stream stage makes of them."""
    made = Outcomes(deployment)
    yield made
    made.close()


@pytest.fixture
def wire(deployment: Deployment) -> Wire:
    """Writes frames, labels and dead letters to the topics."""
    return Wire(deployment)
