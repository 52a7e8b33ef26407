"""The gateway from start to stop: HTTP -> intake -> outbox -> `frames.raw`, and labels -> ring -> readers, webhooks."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import uvicorn

from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import TopicNames
from infra.net.policy import AddressPolicy
from infra.process import logs, metrics
from infra.process.health import HealthServer, Probe
from infra.process.lifecycle import STOP_BUDGET_S, Stop, StopBudget
from infra.settings import Settings
from infra.status.reporter import Doing, reporting
from ingest.gateway.api import build_app
from ingest.gateway.follow import OutcomeFollower
from ingest.gateway.intake import Intake
from ingest.gateway.pressure import Pressure
from ingest.gateway.ring import Outcome
from ingest.gateway.state import GatewayState
from ingest.gateway.store import Store, state_folder
from ingest.gateway.webhook_retries import WebhookRetries
from ingest.gateway.webhooks import WebhookSender
from ingest.publish.drops import DropCounts
from ingest.publish.outbox import Outbox
from schemas.errors import ConfigError
from schemas.registry_client import HttpRegistry

log = logs.get(__name__)

HOUSE_EVERY_S = 1.0
STOP_POLL_S = 0.1
BACKLOG = 2_048
# Of the stop budget, for what follows the last answer.
CLOSE_S = 2.0


class _Server(uvicorn.Server):
    """Without signal handlers of its own: `Stop` has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(settings: Settings, policy: AddressPolicy, stop: Stop) -> None:
    """Serve until `stop` is set. Raises SightlineError when the port is taken or a part fails for good.

    `policy`: to which addresses webhooks may go.
    """
    metrics.SOURCE_LABEL.max_sources = settings.metrics.per_source
    listener = _listen(settings)
    with ExitStack() as closing:
        closing.enter_context(listener)
        registry = registry_of(settings)
        if registry is not None:
            closing.callback(registry.close)
        store = closing.enter_context(Store(state_folder(settings.gateway)))
        publisher = Publisher(settings, **{"delivery.timeout.ms": settings.gateway.ack_timeout_ms})
        closing.callback(publisher.close, CLOSE_S / 2)
        asyncio.run(_serve(settings, policy, stop, listener, registry, store, publisher))
    stop.raise_error()


async def _serve(
    settings: Settings,
    policy: AddressPolicy,
    stop: Stop,
    listener: socket.socket,
    registry: HttpRegistry | None,
    store: Store,
    publisher: Publisher,
) -> None:
    loop = asyncio.get_running_loop()
    names = TopicNames.for_lane(settings.topic_prefix)
    state = GatewayState(settings.gateway, store)
    outbox = Outbox(publisher, names.frames, DropCounts().add, registry, retention_h=settings.topics.frames_retention_h)
    intake = Intake(outbox, settings.gateway.shards, settings.topics.max_frame_bytes, loop)
    pressure = Pressure(settings, stop)
    metrics.GATEWAY_LABELS.set_function(lambda: len(state.ring))
    metrics.GATEWAY_BODY_BYTES.set_function(lambda: state.room.used_bytes)

    def take(outcome: Outcome) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(state.take, outcome)

    def doing() -> Doing:
        wait_ms = publisher.produce_wait_ms()
        return Doing(intake.arrived, intake.finished, None, max(0, intake.in_flight), produce_wait_ms=wait_ms)

    app = build_app(state, intake, pressure)
    server = _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, lifespan="off", timeout_keep_alive=30,
            timeout_graceful_shutdown=int(STOP_BUDGET_S - CLOSE_S),
        )
    )  # fmt: skip
    async with _webhooks(settings, policy, publisher, state, stop, names.webhooks):
        oldest_s = min(time.time() - settings.gateway.look_back_s, state.oldest_webhook_s() or float("inf"))
        follower = OutcomeFollower(
            settings, registry, int(oldest_s * 1e6), lambda name: name in state.names, take, stop.set
        )
        with HealthServer(settings.http, *probes(publisher, intake, stop)) as health:
            follower.start()
            threading.Thread(target=pressure.run, name="pressure", daemon=True).start()
            with reporting(settings, "ingest", "live", publisher, doing, health):
                house = asyncio.create_task(_keep_house(state, stop, intake, server))
                log.info("taking uploads", url=f"http://{settings.gateway.host}:{listener.getsockname()[1]}")
                await server.serve(sockets=[listener])
                stop.set()
                await house
            await asyncio.to_thread(follower.close, CLOSE_S / 2)


@contextlib.asynccontextmanager
async def _webhooks(
    settings: Settings, policy: AddressPolicy, publisher: Publisher, state: GatewayState, stop: Stop, topic: str
) -> AsyncIterator[None]:
    """A block in which webhooks are sent, and sent again."""
    gateway = settings.gateway
    sender = WebhookSender(
        policy, publisher, topic, state.secret_of, timeout_s=gateway.webhook_timeout_s,
        delays_s=gateway.webhook_delays_s, keep_s=gateway.webhooks_retention_h * 3600,
    )  # fmt: skip
    retries = WebhookRetries(settings, sender, asyncio.get_running_loop(), stop.set)
    state.webhooks = sender
    retries.start()
    try:
        yield
    finally:
        budget = StopBudget(stop)
        await sender.close(budget.at_most_s(CLOSE_S, CLOSE_S))
        await asyncio.to_thread(retries.close, budget.at_most_s(CLOSE_S))


async def _keep_house(state: GatewayState, stop: Stop, intake: Intake, server: uvicorn.Server) -> None:
    """Look at keys and limits, and at the stop flag, which threads and signals set."""
    next_s = 0.0
    while not stop.is_set():
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + HOUSE_EVERY_S
            state.look_at_keys()
            state.keep_house()
        await asyncio.sleep(STOP_POLL_S)
    intake.closing = True
    state.ring.wake_all()
    server.should_exit = True
    state.keep_house()


def probes(publisher: Publisher, intake: Intake, stop: Stop) -> tuple[Probe, Probe]:
    """Live: the Kafka client works. Ready: uploads are acknowledged."""

    def live() -> str | None:
        if stop.error is not None:
            return str(stop.error) or type(stop.error).__name__
        return f"the Kafka producer cannot go on: {publisher.fatal}" if publisher.fatal else None

    def ready() -> str | None:
        return live() or ("Kafka does not acknowledge uploads" if intake.is_away else None)

    return live, ready


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.gateway.host, settings.gateway.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends small answers at once (TCP_NODELAY) where a socket names its protocol, which `create_server` of
        # the socket module leaves out.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        raise ConfigError(f"the gateway cannot listen on {host}:{port}: {error.strerror}") from error
