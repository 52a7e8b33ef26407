"""`sightline infer`: checks what the worker needs, loads the model, and runs the worker behind the health probes."""

import os
import time
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from inference.device.device import Device
from inference.device.failures import DeviceLost
from inference.device.gpu_metrics import export_gpus
from inference.device.warm_up import warm_up
from inference.models import Model, load_model
from inference.worker.worker import Worker, build_worker
from infra.commands.options import HttpPortOption, LaneOption, ModelOption, PassOverOption
from infra.kafka.lanes import settings_of_lane
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics, tracing
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop, print_end
from infra.process.memory import give_back_now_and_then
from infra.redis.client import require_redis
from infra.settings import InferSettings, Settings, load_settings
from infra.status.reporter import reporting

log = logs.get(__name__)

# How soon a stop during the warm-up is seen.
LOOK_S = 0.1


def command(
    lane: LaneOption = "live",
    model: ModelOption = None,
    delivery: Annotated[
        Literal["at_least_once", "exactly_once"] | None, typer.Option(help="How labels and offsets are written.")
    ] = None,
    cache: Annotated[bool | None, typer.Option("--cache/--no-cache", help="Store labels for repeat images.")] = None,
    pass_over: PassOverOption = None,
    http_port: HttpPortOption = None,
) -> None:
    """The GPU worker: micro-batches to labels."""
    flags: dict[str, Any] = {
        "infer": {"model": model, "delivery": delivery, "cache": cache, "pass_over": pass_over or None},
        "http": {"port": http_port},
    }
    settings = load_settings(flags)
    logs.setup(settings.log)
    with tracing.running(settings.tracing, "sightline-infer"):
        serve(settings, lane, Stop().install())


def serve(settings: Settings, lane: Lane, stop: Stop) -> None:
    """Until `stop`. First everything that is needed is checked, then the model is loaded, then the group joined."""
    settings = settings_of_lane(settings, lane)
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    group_id = group("infer", settings.topic_prefix, lane)
    require_topics(settings, reads=[names.batches], writes=names.outcomes(lane), groups={group_id: names.batches})
    if settings.infer.cache:
        require_redis(settings)
    give_back_now_and_then()
    probes = Probes(stop)
    try:
        with HealthServer(settings.http, probes.live, probes.ready, labels={"lane": lane}) as health:
            metrics.MODEL_READY.set(0)
            # The first start ever also converts the model: tens of seconds.
            model = stop.unless_stopped(lambda: load_model(settings.infer.model, settings.infer))
            if model is not None:
                device = warm_device(model, settings.infer, stop)
                export_gpus()
                worker = probes.worker = build_worker(settings, lane, names, device, stop)
                worker.run(reporting(settings, "infer", lane, worker.publisher, worker.doing, health))
        stop.raise_error()
    except DeviceLost as lost:
        # What still lives of the device's library may abort the interpreter's end, or hang in it.
        os._exit(print_end(lost))


def warm_device(model: Model, infer: InferSettings, stop: Stop) -> Device:
    """The model, run once with each batch size by the thread that runs it from now on.

    Raises ModelError and DeviceLost. When `stop` is set meanwhile the process ends: no library can be broken off.
    """
    device, sizes = Device(model, infer.max_batch_size), warm_sizes(infer.max_batch_size)
    warm = device.start(lambda: warm_up(model, sizes, device.working, time.monotonic))
    while not warm.done():
        wait([warm], timeout=LOOK_S)
        if stop.is_set() and not warm.done():
            log.info("stopping before the model is warm")
            os._exit(print_end(stop.error))
    warm.result()
    metrics.INFER_MAX_BATCH_SIZE.set(infer.max_batch_size)
    metrics.MODEL_READY.set(1)
    log.info("model ready", model=model.ref.name, version=model.ref.version, runtime=model.runtime)
    return device


def warm_sizes(max_batch_size: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the largest: about every size that a run can have."""
    powers = (2**power for power in range(max_batch_size.bit_length()))
    return tuple(sorted({size for size in powers if size < max_batch_size} | {max_batch_size}))


@dataclass(slots=True)
class Probes:
    """The answers to `/livez` and `/readyz`: None for yes, else why not. `worker` is set once it is built."""

    stop: Stop
    worker: Worker | None = None

    def live(self) -> str | None:
        if self.stop.error is not None:
            return str(self.stop.error) or type(self.stop.error).__name__
        return self.worker.watchdog.reason if self.worker else None

    def ready(self) -> str | None:
        if self.stop.is_set():
            return "stopping"
        if self.worker is None:
            return "the model is being loaded"
        return None if self.worker.joining.has_joined else "waiting for partitions"
