"""What we rely on in Faust 0.15.3, with its real Stream and Agent machinery and a consumer that only records acks.

If one of these fails after an upgrade of Faust, the stream stage may lose frames: read streams/source/intake.py first.
"""

import asyncio
import socket
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import faust
import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from infra.settings import MIB, Settings
from streams.source.app import (
    QUEUE_BYTES,
    QUEUE_EVENTS,
    ByteQueue,
    StreamApp,
    build_app,
)
from streams.source.consumer import FETCH_MAX_WAIT_MS, FETCH_MIN_BYTES
from tests.support.faust_bench import Bench, FaustConsumer


@pytest.fixture
async def bench() -> Bench:
    """With Faust's own acks and commits."""
    return Bench(FaustConsumer)


async def test_noack_events_acks_nothing_by_itself(bench: Bench) -> None:
    seen: list[int] = []

    async def body(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.message.offset)

    for offset in range(5):
        await bench.put(offset)
    await bench.run(body)
    assert seen == [0, 1, 2, 3, 4]
    assert bench.consumer.acked() == []


async def test_noack_events_acks_nothing_when_the_body_raises(bench: Bench) -> None:
    async def body(stream: Any) -> None:
        async for _ in stream.noack().events():
            raise RuntimeError("defect")

    for offset in range(3):
        await bench.put(offset)
    assert isinstance(await bench.run(body), RuntimeError)
    assert bench.consumer.acked() == []


async def test_an_ack_of_an_event_makes_faust_commit_its_offset(bench: Bench) -> None:
    events: list[Any] = []

    async def body(stream: Any) -> None:
        async for event in stream.noack().events():
            events.append(event)

    for offset in range(4):
        await bench.put(offset)
    await bench.run(body)
    bench.consumer.set_committed(None)
    for event in events[:3]:
        event.ack()
    assert bench.consumer.acked() == [0, 1, 2]
    assert bench.consumer.next_commit() == 3


async def test_a_stale_generation_is_not_given_to_us(bench: Bench) -> None:
    seen: list[int] = []

    async def body(stream: Any) -> None:
        async for event in stream.noack().events():
            seen.append(event.message.offset)

    await bench.put(7, generation=0)
    await bench.put(8, generation=1)
    await bench.run(body)
    assert seen == [8]


async def test_faust_commits_over_a_hole_which_is_why_its_acks_have_no_effect_here(bench: Bench) -> None:
    """faust-streaming/faust#606: with offset 0 in flight, acks of 1 and 2 move the commit past it."""
    events: list[Any] = []

    async def body(stream: Any) -> None:
        async for event in stream.noack().events():
            events.append(event)

    for offset in range(3):
        await bench.put(offset)
    await bench.run(body)
    bench.consumer.set_committed(None)
    events[1].ack()
    events[2].ack()
    assert bench.consumer.next_commit() == 3, "Faust was mended: streams/source/commits.py may become simpler"


async def test_take_acks_a_batch_whose_processing_failed_which_is_why_we_never_use_it(bench: Bench) -> None:
    async def body(stream: Any) -> None:
        async for _ in stream.take(2, within=0.1):
            raise RuntimeError("out of memory")

    for offset in range(2):
        await bench.put(offset)
    assert isinstance(await bench.run(body), RuntimeError)
    assert bench.consumer.acked() == [0, 1], "take() was mended"


async def test_our_queue_holds_back_by_count_and_bytes_and_never_by_pressure() -> None:
    app = faust.App("pin", store="memory://")
    queue = ByteQueue(flow_control=app.flow_control)
    assert not queue.in_pressure_high_state(lambda: None)
    half = Mock(message=Mock(key=b"", value=b"x" * (QUEUE_BYTES // 2)))
    queue.put_nowait_enhanced(half, on_pressure_high=pytest.fail, on_pressure_drop=pytest.fail)
    assert not queue.full()
    queue.put_nowait_enhanced(half, on_pressure_high=pytest.fail, on_pressure_drop=pytest.fail)
    assert queue.full()
    assert queue.get_nowait() is half
    assert not queue.full()
    queue.clear()
    small = Mock(message=Mock(key=None, value=b""))
    for _ in range(QUEUE_EVENTS):
        queue.put_nowait_enhanced(small, on_pressure_high=pytest.fail, on_pressure_drop=pytest.fail)
    assert queue.full()


async def test_the_app_declares_no_topics_writes_no_files_and_starts_no_producer() -> None:
    app = build_app(Settings(kafka={"bootstrap_servers": "a:1,b:2"}), "live")  # type: ignore[arg-type]
    conf = app.conf
    assert conf.id == "sightline-stream"
    assert [str(url) for url in conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert conf.topic_disable_leader and not conf.topic_allow_declare and conf.table_standby_replicas == 0
    assert not conf.web_enabled and not conf.stream_wait_empty
    assert str(conf.processing_guarantee).endswith("AT_LEAST_ONCE")
    assert not app.boot_strategy._should_enable_kafka_producer()  # type: ignore[attr-defined]
    assert StreamApp._create_directories(app) is None  # type: ignore[func-returns-value]
    assert isinstance(app.FlowControlQueue(), ByteQueue)


def aiokafka_consumer(app: StreamApp) -> Any:
    """The one that the app would start."""
    app.finalize()
    thread = app.consumer._thread  # type: ignore[attr-defined]
    consumer = thread._create_worker_consumer(app.transport)
    consumer._closed = True  # never started: nothing to close
    thread.thread_loop.close()
    return consumer


async def test_what_faust_has_no_setting_for_reaches_aiokafka() -> None:
    app = build_app(Settings(kafka={"bootstrap_servers": "127.0.0.1:1"}), "live")  # type: ignore[arg-type]
    consumer = aiokafka_consumer(app)
    assert consumer._fetch_max_wait_ms == FETCH_MAX_WAIT_MS
    assert consumer._fetch_min_bytes == FETCH_MIN_BYTES
    assert consumer._fetch_max_bytes == 16 * MIB
    assert consumer._isolation_level == "read_committed"
    assert consumer._client._bootstrap_servers == ["127.0.0.1:1"]


@pytest.mark.parametrize("keys", [{}, {"max.poll.interval.ms": 300_000}], ids=["default", "set for the workers"])
async def test_a_pause_of_months_does_not_put_the_stage_out_of_its_group(keys: dict[str, Any]) -> None:
    """Nobody polls while the workers are behind. Faust's default is 1000 s, and there is no way back into the group."""
    kafka = {"bootstrap_servers": "127.0.0.1:1", "consumer": keys}
    consumer = aiokafka_consumer(build_app(Settings(kafka=kafka), "live"))  # type: ignore[arg-type]
    assert consumer._max_poll_interval_ms > 365 * 86_400_000
    assert consumer._rebalance_timeout_ms == 30_000, "what the broker is told of a member's time does not follow it"


async def test_kafka_keys_reach_aiokafka_and_faust() -> None:
    keys = {
        "fetch.message.max.bytes": 2_000_000,
        "session.timeout.ms": 7_000,
        "fetch.wait.max.ms": 5,
        "check.crcs": "false",
        "client.rack": "rack-1",
    }
    settings = Settings(kafka={"bootstrap_servers": "a,[::1]:9093", "consumer": keys})  # type: ignore[arg-type]
    app = build_app(settings, "live")
    consumer = aiokafka_consumer(app)
    assert consumer._max_partition_fetch_bytes == 2_000_000
    assert consumer._session_timeout_ms == 7_000 and app.conf.broker_session_timeout == 7.0
    assert (consumer._fetch_max_wait_ms, consumer._check_crcs, consumer._client_rack) == (5, False, "rack-1")
    assert consumer._client._bootstrap_servers == ["a:9092", "[::1]:9093"]
    assert consumer._client._metadata_max_age_ms == 30_000, "the same default as librdkafka has here"


async def test_an_address_family_holds_for_every_connection_of_aiokafka(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = {"bootstrap_servers": "localhost:1", "client": {"broker.address.family": "v4"}}
    app = build_app(Settings(kafka=kafka), "live")  # type: ignore[arg-type]
    app.finalize()
    thread = app.consumer._thread  # type: ignore[attr-defined]
    resolve = AsyncMock(return_value=[])
    monkeypatch.setattr(thread.thread_loop, "getaddrinfo", resolve)
    thread._create_worker_consumer(app.transport)._closed = True
    await thread.thread_loop.getaddrinfo("localhost", 1, family=0, type=socket.SOCK_STREAM)
    thread.thread_loop.close()
    resolve.assert_awaited_once_with("localhost", 1, family=socket.AF_INET, type=socket.SOCK_STREAM)


async def test_a_message_is_handed_over_without_tasks_where_there_is_room() -> None:
    app = build_app(Settings(kafka={"bootstrap_servers": "a:1"}), "live")  # type: ignore[arg-type]
    consumer = cast(Any, app.consumer)
    queue = app.FlowControlQueue()
    tasks: list[Any] = []

    async def hand_over() -> str:
        tasks.append(asyncio.current_task())
        return "given"

    async def suspended() -> None:
        await asyncio.sleep(0)

    assert not app.has_room(), "while the flow is stopped, as in a rebalance, everything waits"
    app.flow_control.resume()
    assert await consumer.wait_first(hand_over(), suspended()) == "given"
    assert tasks == [asyncio.current_task()]
    queue.put_nowait(Mock(message=Mock(key=b"x" * (QUEUE_BYTES // 2), value=b"x" * (QUEUE_BYTES // 2))))
    assert not app.has_room()
    never = asyncio.get_running_loop().create_future()
    await consumer.wait_first(asyncio.wait_for(never, 10), suspended())
    assert not never.done(), "one that waits for room is given up when the flow is stopped"
    consumer._thread.thread_loop.close()


async def test_a_held_partition_is_not_asked_for_and_loses_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka keeps the records of partitions that it is not asked for, and takes an empty set for all of them."""
    app = build_app(Settings(kafka={"bootstrap_servers": "a:1"}), "live")  # type: ignore[arg-type]
    consumer = cast(Any, app.consumer)
    asked: list[set[TP]] = []

    async def fetch(_thread: Any, _consumer: Any, partitions: set[TP], *_: Any) -> dict[TP, Any]:
        asked.append(set(partitions))
        return {}

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    one, two = TP("frames.raw", 1), TP("frames.raw", 2)
    active = {one, two}
    consumer.flow_active = True
    consumer._thread.positions = Mock(look=lambda _consumer: {}, started={one, two}, waits=False)
    for held in (frozenset(), frozenset({one}), frozenset({one, two}), frozenset()):
        consumer.held = held
        await consumer._thread._fetch_records(Mock(), active, 1.0)
    assert asked == [{one, two}, {two}, {one, two}]
    assert active == {one, two}, "Faust's own set, by which it drops records, is left alone"
    consumer._thread.thread_loop.close()
