"""`sightline camera`: the agent that turns cameras, files and folders into Frames on `frames.raw`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.commands.options import HttpPortOption
from infra.kafka.clients import require_kafka, require_topics
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.settings import Settings, load_settings
from ingest.camera.agent import Reporter, StopBudget, frames, outlet, probes, raise_losses, settle
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Captured, Feed
from ingest.camera.spec import CameraSpec, camera_spec, load_cameras
from ingest.publish.outbox import ENVELOPE_BYTES, Outbox
from ingest.sources.parse import Kind, contents
from schemas.errors import ConfigError
from schemas.registry import HttpRegistry

log = logs.get(__name__)

TIMEOUT_KEYS = ("delivery.timeout.ms", "message.timeout.ms")

SourceOption = Annotated[
    str | None, typer.Option(help="rtsp://, http://, a file, a folder, usb:0, sim:NAME", show_default=False)
]
IdOption = Annotated[
    str | None, typer.Option("--id", help="The source id (default: from the source).", show_default=False)
]
FpsOption = Annotated[
    float | None, typer.Option(help="Frames a second to publish (default: camera.fps).", show_default=False)
]
LoopOption = Annotated[bool, typer.Option("--loop", help="Start files and folders over at their end.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="cameras.toml: several cameras in one agent.", show_default=False)
]


def command(
    source: SourceOption = None,
    source_id: IdOption = None,
    fps: FpsOption = None,
    loop: LoopOption = False,
    config: ConfigOption = None,
    http_port: HttpPortOption = None,
) -> None:
    """Publish the frames of cameras, files and folders.

    Ends by itself after the last frame of files and folders; with live cameras it runs until it is stopped.
    """
    settings = load_settings({"camera": {"fps": fps}, "http": {"port": http_port}})
    logs.setup(settings.log)
    given = {"source": source, "id": source_id, "loop": loop}
    specs = _cameras(config, {key: value for key, value in given.items() if value}, settings)
    _say_left_out(specs)
    require_kafka(settings)
    require_topics(settings, TopicNames.for_lane(settings.topic_prefix).frames)
    run(settings, specs, Stop().install())


def run(settings: Settings, specs: list[CameraSpec], stop: Stop) -> None:
    """Capture processes -> feeds -> buffer -> outbox -> frames.raw, until every source ended or `stop` is set.

    Raises SightlineError when a finite source was not delivered whole; what a live one lost is counted and logged.
    """
    topic = TopicNames.for_lane(settings.topic_prefix).frames
    max_image_bytes = settings.topics.max_frame_bytes - ENVELOPE_BYTES
    buffer: FrameBuffer[Captured] = FrameBuffer(settings.camera.max_buffer_bytes, settings.camera.max_buffer_frames)
    into_buffer = outlet(buffer)
    feeds = [Feed(spec, settings.camera, max_image_bytes, into_buffer, stop) for spec in specs]
    with ExitStack() as closing:
        publisher = Publisher(settings, **_patience(settings))
        outbox = Outbox(publisher, topic, settings.camera.max_frame_age_ms, _registry(settings, closing))
        closing.enter_context(HealthServer(settings.http, *probes(publisher, feeds)))
        budget, report = StopBudget(stop), Reporter(feeds, outbox, buffer)
        for feed in feeds:
            buffer.add_source(feed.spec.source_id, feed.spec.source.live)
            feed.start()

        def give_up() -> bool:
            report.tick()  # also while Kafka takes nothing
            return budget.over()

        try:
            for captured in frames(buffer, feeds, budget, report):
                outbox.publish(captured, give_up)
        except Exception as error:  # noqa: BLE001 - raised below: what is queued is delivered first
            stop.set(error)
        settle(publisher, budget)
        report.close()
    stop.raise_error()
    raise_losses(feeds, outbox, buffer)


def _cameras(config: Path | None, given: dict[str, Any], settings: Settings) -> list[CameraSpec]:
    if config is not None and given:
        raise ConfigError(
            f"--config says it all: leave out --{' and --'.join(given)}, or name one camera without a file"
        )
    if config is not None:
        return load_cameras(config, settings.camera)
    if "source" not in given:
        raise ConfigError(
            "give --source (rtsp://, http://, a file, a folder, usb:0, sim:NAME) or --config cameras.toml"
        )
    return [camera_spec(given, settings.camera)]


def _say_left_out(specs: list[CameraSpec]) -> None:
    """Files that are not sent are named, so that nobody waits for their labels."""
    for spec in specs:
        if spec.source.kind != Kind.IMAGES:
            continue
        folder = contents(Path(spec.source.address))
        others, closed = folder.others, folder.closed
        if others:
            log.info("not sent, no images by name", source_id=spec.source_id, files=len(others), such_as=others[:5])
        if closed:
            log.warning(
                "not sent, cannot be entered", source_id=spec.source_id, folders=len(closed), such_as=closed[:5]
            )


def _patience(settings: Settings) -> dict[str, Any]:
    """The agent's own bounds say how long a frame may wait; Kafka's client keeps what it has been given."""
    return {} if any(key in settings.kafka.producer for key in TIMEOUT_KEYS) else {"delivery.timeout.ms": 0}


def _registry(settings: Settings, closing: ExitStack) -> HttpRegistry | None:
    registry = registry_of(settings)
    if registry is not None:
        closing.callback(registry.close)
    return registry
