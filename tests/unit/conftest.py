"""Unit tests have no network at all: what needs a socket belongs into tests/kafka. No settings of the user's."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from pytest_socket import disable_socket, enable_socket

# Properties are about what comes out, never about how long it took: machines are shared, and speed has its benchmarks.
hypothesis.settings.register_profile("sightline", deadline=None)
hypothesis.settings.load_profile("sightline")


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    # asyncio's own wake-up pair is a unix socket.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIGHTLINE_")]:
        monkeypatch.delenv(name)
