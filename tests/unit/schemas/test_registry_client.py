"""What a registry may answer: a service that is unwell is Unavailable, an id that is none is one bad frame."""

import json
from collections.abc import Callable

import httpx2
import pytest

from schemas import registry_client as module
from schemas.errors import BadFrame, Unavailable
from schemas.registry_client import UNKNOWN_FOR_S, HttpRegistry

SCHEMA = json.dumps({"schema": json.dumps({"type": "record", "name": "R", "fields": []})})


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def a_registry(answer: Callable[[httpx2.Request], httpx2.Response], clock: Clock | None = None) -> HttpRegistry:
    registry = HttpRegistry("http://user:secret@registry", clock=clock or Clock())
    registry._http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return registry


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "{}"),
        (404, ""),
        (422, "<html>"),
        (200, "{}"),
        (200, '{"schema":5}'),
        (200, '{"schema":"message Frame"}'),
        (200, '{"schema":"' + "[" * 100_000 + '"}'),
        (200, '{"schemaType":"\\ud800","schema":"{}"}'),
    ],
)
def test_an_id_without_a_schema_is_a_bad_frame_that_can_be_written_down(status: int, body: str) -> None:
    with pytest.raises(BadFrame) as caught:
        a_registry(lambda _request: httpx2.Response(status, content=body)).schema_for(1)
    assert caught.value.reason == "schema_unknown"
    assert caught.value.detail.encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, "{}") for status in (302, 401, 403, 408, 429, 500, 503)),
        (204, ""),
        *((200, body) for body in ("<html>\n\x1b[2J", "[]", "null", "[" * 100_000, b'{"schema":"\xff"}')),
    ],
)
def test_a_service_that_is_unwell_is_told_in_one_sentence_without_its_password(status: int, body: str) -> None:
    registry = a_registry(lambda _request: httpx2.Response(status, content=body))
    with pytest.raises(Unavailable) as caught:
        registry.schema_for(1)
    with pytest.raises(Unavailable):
        registry.id_for("frames.raw-value", {})
    text = str(caught.value)
    assert text.isprintable() and "SIGHTLINE_SCHEMA_REGISTRY_URL" in text and "secret" not in text


def test_an_answer_without_an_id_is_a_service_that_is_unwell() -> None:
    with pytest.raises(Unavailable, match="without an id"):
        a_registry(lambda _request: httpx2.Response(200, content="{}")).id_for("frames.raw-value", {})


def test_an_id_that_is_unknown_is_asked_for_once_a_minute() -> None:
    clock, asked = Clock(), list[str]()

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(404) if clock.now_s < 2 * UNKNOWN_FOR_S else httpx2.Response(200, content=SCHEMA)

    registry = a_registry(answer, clock)
    for now_s in (0, 1, UNKNOWN_FOR_S - 1, UNKNOWN_FOR_S, UNKNOWN_FOR_S + 1):
        clock.now_s = now_s
        with pytest.raises(BadFrame, match="answer 404"):
            registry.schema_for(7)
    assert asked == ["/schemas/ids/7"] * 2
    clock.now_s = 2 * UNKNOWN_FOR_S
    assert registry.schema_for(7) == registry.schema_for(7)
    assert len(asked) == 3


def test_the_unknown_are_forgotten_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNKNOWN", 3)
    registry = a_registry(lambda _request: httpx2.Response(404))
    for schema_id in range(5):
        with pytest.raises(BadFrame):
            registry.schema_for(schema_id)
    assert list(registry._unknown) == [2, 3, 4]
