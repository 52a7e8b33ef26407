"""What the tests of the retry consumer share."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.kafka.consumer import CommitReport
from tests.support.retry_run import P0, P1, FakeConsumer


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer([P0, P1])

    def make(*_: Any, on_commit: Callable[[CommitReport], None], **__: Any) -> FakeConsumer:
        made.on_commit = on_commit
        return made

    monkeypatch.setattr("infra.kafka.holding_member.GroupConsumer", make)
    return made
