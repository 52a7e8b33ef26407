"""`sightline` with clients that fail: `python -m tests.faults.launcher PLAN_FOLDER stream --model null`.

A point is one kind of call of a client. The point that the plan names fails at its 1st call, then at the 2nd call
after that, then at the 3rd, and so on: after N failures every distance up to N was tried. The count is kept in a file
of the plan's folder, so a point whose failure ends the process fails at the Nth call of the Nth process.
"""

import asyncio
import importlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import confluent_kafka.admin
from confluent_kafka import KafkaError, KafkaException

Make = Callable[[int], Exception]
_LOOK_S = 0.02


class Plan:
    """Which point fails now: the test writes it (`arm`), the process under test reads it (`due`, `fail`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._armed, self._looked_s = "", 0.0
        self._calls = 0

    def arm(self, point: str) -> None:
        """Let this point fail from now on; with an empty name nothing fails."""
        self._write("armed", point)

    def fired(self, point: str) -> int:
        """How often it failed so far."""
        file = self.folder / f"{point}.fired"
        return int(file.read_text()) if file.exists() else 0

    def due(self, point: str) -> int:
        """Count one call of that point; 0 when the call shall succeed, N when it shall fail as the Nth failure."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._looked_s > _LOOK_S:
                self._looked_s, before = now_s, self._armed
                file = self.folder / "armed"
                self._armed = file.read_text() if file.exists() else ""
                if self._armed != before:
                    self._calls = 0
            if self._armed != point:
                return 0
            self._calls += 1
            number = self.fired(point) + 1
            if self._calls < number:
                return 0
            self._calls = 0
            # Written before the call fails, because the failure may end the process.
            self._write(f"{point}.fired", str(number))
            return number

    def fail(self, point: str, make: Make) -> None:
        number = self.due(point)
        if number:
            print(f"launcher: {point} fails, number {number}", file=sys.stderr, flush=True)
            raise make(number)

    def _write(self, name: str, text: str) -> None:
        """Replace the file atomically: whoever reads it, or is killed meanwhile, finds the old or the new content."""
        file = self.folder / f"{name}.new"
        file.write_text(text)
        file.rename(self.folder / name)


def passing(code: int) -> Make:
    """Makes a KafkaException as the client raises it for an error that may pass."""
    return lambda number: KafkaException(KafkaError(code, f"injected failure {number}"))


def transactional(number: int) -> Exception:
    """The three kinds of transactional errors in turn: retriable, abort required, fatal."""
    kind = ("retriable", "txn_requires_abort", "fatal")[(number - 1) % 3]
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, f"injected failure {number} ({kind})", **{kind: True}))


_DOWN = passing(KafkaError._TRANSPORT)
PRODUCER: dict[str, Make] = {
    "produce": lambda number: BufferError("Local: Queue full") if number % 2 else _DOWN(number),
    "poll": _DOWN,
    "flush": _DOWN,
    "init_transactions": transactional,
    "begin_transaction": _DOWN,
    "send_offsets_to_transaction": transactional,
    "commit_transaction": transactional,
    "abort_transaction": transactional,
}
CONSUMER: dict[str, Make] = dict.fromkeys(
    ("poll", "consume", "commit", "committed", "subscribe", "pause", "resume", "seek", "position", "assign"), _DOWN
) | dict.fromkeys(("incremental_assign", "incremental_unassign", "close"), _DOWN)
ADMIN: dict[str, Make] = dict.fromkeys(("list_topics", "list_offsets"), _DOWN)


def install(plan: Plan) -> None:
    """Replace the client classes before anything of ours is imported."""
    confluent_kafka.Producer = _failing(_reporting(confluent_kafka.Producer, plan), "producer", PRODUCER, plan)  # type: ignore[misc]
    confluent_kafka.Consumer = _failing(confluent_kafka.Consumer, "consumer", CONSUMER, plan)  # type: ignore[misc]
    # AdminClient is written in Python and refers to itself by name, so it is patched and not replaced by a subclass.
    for method, make in ADMIN.items():
        _fail_sync(confluent_kafka.admin.AdminClient, method, f"admin.{method}", make, plan)
    _install_redis(plan)
    _install_aiokafka(plan)


def _failing(client: type[Any], name: str, methods: dict[str, Make], plan: Plan) -> Any:
    def wrap(method: str, make: Make) -> Callable[..., Any]:
        original = getattr(client, method)

        def call(self: Any, *args: Any, **keys: Any) -> Any:
            plan.fail(f"{name}.{method}", make)
            return original(self, *args, **keys)

        return call

    body = {method: wrap(method, make) for method, make in methods.items() if hasattr(client, method)}
    return type(client.__name__, (client,), body)


def _reporting(client: type[Any], plan: Plan) -> type[Any]:
    """`producer.report`: the record is written, but its delivery report says that it is not."""

    class Reporting(client):  # type: ignore[misc]
        def produce(self, *args: Any, on_delivery: Any = None, **keys: Any) -> None:
            def reported(error: Any, message: Any) -> None:
                if error is None and plan.due("producer.report"):
                    error = KafkaError(KafkaError._MSG_TIMED_OUT, "injected failure")
                if on_delivery is not None:
                    on_delivery(error, message)

            super().produce(*args, on_delivery=reported, **keys)

    return Reporting


def _install_redis(plan: Plan) -> None:
    import redis.asyncio.connection
    import redis.connection

    def gone(number: int) -> Exception:
        return (redis.ConnectionError if number % 2 else redis.TimeoutError)(f"injected failure {number}")

    for method in ("connect", "send_packed_command", "read_response"):
        _fail_sync(redis.connection.AbstractConnection, method, f"redis.{method}", gone, plan)
        _fail_async(redis.asyncio.connection.AbstractConnection, method, f"redis_async.{method}", gone, plan)


def _install_aiokafka(plan: Plan) -> None:
    """Every request of Faust's consumer: fetch, heartbeat, join, sync, commit, metadata."""
    # Imported by name because neither module has type hints.
    client, errors = importlib.import_module("aiokafka.client"), importlib.import_module("aiokafka.errors")
    kinds: tuple[type[Exception], ...] = (errors.KafkaConnectionError, errors.RequestTimedOutError)

    def down(number: int) -> Exception:
        return kinds[number % 2](f"injected failure {number}")

    _fail_async(client.AIOKafkaClient, "send", "aiokafka.send", down, plan)


def _fail_sync(owner: type[Any], method: str, point: str, make: Make, plan: Plan) -> None:
    original = getattr(owner, method)

    def call(self: Any, *args: Any, **keys: Any) -> Any:
        plan.fail(point, make)
        return original(self, *args, **keys)

    setattr(owner, method, call)


def _fail_async(owner: type[Any], method: str, point: str, make: Make, plan: Plan) -> None:
    original = getattr(owner, method)
    assert asyncio.iscoroutinefunction(original), f"{owner.__name__}.{method} is no coroutine any more"

    async def call(self: Any, *args: Any, **keys: Any) -> Any:
        plan.fail(point, make)
        return await original(self, *args, **keys)

    setattr(owner, method, call)


def main() -> None:
    folder, *words = sys.argv[1:]
    install(Plan(Path(folder)))
    from infra.cli import main as sightline

    sightline(words)


if __name__ == "__main__":
    main()
