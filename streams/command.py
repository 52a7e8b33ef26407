"""`sightline stream`: checks what the stage needs, then runs it until a signal."""

import asyncio
from typing import Annotated

import typer

from inference.models import describe_model
from infra.commands.options import HttpPortOption, LaneOption, ModelOption
from infra.kafka.lanes import settings_of_lane
from infra.kafka.stage_keys import stage_keys, stage_notes
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, tracing
from infra.process.lifecycle import Stop
from infra.process.memory import give_back_now_and_then, keep_freed_memory
from infra.redis.client import require_redis
from infra.settings import Settings, load_settings
from streams.processor import run_processor
from streams.stage.writer import require_room

log = logs.get(__name__)


def command(
    lane: LaneOption = "live",
    model: ModelOption = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Send every frame to the model.")] = False,
    http_port: HttpPortOption = None,
) -> None:
    """Turn frames into micro-batches for the workers, and frames seen before into labels."""
    stream = {"cache": False} if no_cache else {}
    settings = load_settings({"infer": {"model": model}, "stream": stream, "http": {"port": http_port}})
    logs.setup(settings.log)
    with tracing.running(settings.tracing, "sightline-stream"):
        run(settings, lane)


def run(settings: Settings, lane: Lane) -> None:
    """Run until a signal. Raises the error that ended the stage otherwise.

    Frames without an outcome at the end are read again by the next process.
    """
    stage_keys(settings)  # before anything is started
    model = describe_model(settings.infer.model)
    require_room(settings, model.input)
    settings = settings_of_lane(settings, lane)
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    reads, writes = (names.frames, names.retry), (names.batches, *names.outcomes(lane))
    prefix = settings.topic_prefix
    groups = {group("stream", prefix, lane): names.frames, group("retry", prefix, lane): names.retry}
    require_topics(settings, reads=reads, writes=writes, groups=groups)
    if settings.stream.cache:
        require_redis(settings)
    if noted := stage_notes(settings):
        log.warning("these keys have no effect on the stream stage's consumer (aiokafka)", keys=noted)
    keep_freed_memory()
    give_back_now_and_then()
    stop = Stop().install()
    asyncio.run(run_processor(settings, lane, model, stop))
    stop.raise_error()
