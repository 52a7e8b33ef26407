"""Unit tests have no network at all: what needs a socket belongs into tests/kafka. No settings of the user's."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from pytest_socket import disable_socket, enable_socket

# Properties are about what comes out, never about how long it took: machines are shared, and speed has its benchmarks.
# A verdict on a commit depends on the commit alone, so the draws are fixed; `make search` draws anew, and many more.
hypothesis.settings.register_profile("sightline", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=3_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sightline"))


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
