"""Fixtures of the tests that need real services. Nothing is imported or started before a test asks for it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.batches import Feeder
    from tests.support.deployment import Deployment
    from tests.support.runner import Runner
    from tests.support.services import Services


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Services"]:
    """One broker and a Valkey for the whole run, or what SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS and _REDIS__URL name."""
    from tests.support.services import external_services, local_services

    home = tmp_path_factory.mktemp("home")
    external = external_services(home)
    if external is not None:
        yield external
        return
    with local_services(home) as started:
        yield started


@pytest.fixture
def deployment(services: "Services") -> Iterator["Deployment"]:
    """Topics and a Redis database of this test's own."""
    from tests.support.deployment import deployment as new_deployment

    with new_deployment(services) as made:
        yield made


@pytest.fixture
def sightline(deployment: "Deployment") -> Iterator["Runner"]:
    """`sightline.start("stream")`, `sightline.run("audit", ...)` on this test's deployment; all stopped at the end."""
    from tests.support.runner import Runner

    runner = Runner(deployment.env)
    yield runner
    runner.close()


@pytest.fixture
def feeder(deployment: "Deployment") -> Iterator["Feeder"]:
    """Writes micro-batches to this test's deployment; every record must be acknowledged at the end."""
    from tests.support.batches import Feeder

    made = Feeder(deployment.settings())
    yield made
    made.close()
