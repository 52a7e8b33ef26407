"""`sightline camera`: publishes the frames of cameras, files and folders on `frames.raw`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from infra.commands.options import HttpPortOption
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs, tracing
from infra.process.lifecycle import Stop
from infra.settings import Settings, load_settings
from ingest.camera import agent
from ingest.camera.cameras_file import CamerasFile
from ingest.camera.spec import CameraSpec, camera_spec, duplicate_ids, load_cameras
from ingest.publish.spool.opening import folder_for, was_used
from schemas.errors import ConfigError, Unavailable

log = logs.get(__name__)

SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="rtsp://, http://, a file, a folder, usb:0, sim:NAME; may be given several times.",
        show_default=False,
    ),
]
IdOption = Annotated[
    str | None, typer.Option("--id", help="The source id (default: made from the source).", show_default=False)
]
FpsOption = Annotated[
    float | None, typer.Option(help="Frames a second to publish (default: camera.fps).", show_default=False)
]
LoopOption = Annotated[bool, typer.Option("--loop", help="Start files and folders again at their end.")]
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

    Ends by itself after the last frame of files and folders; with live cameras it runs until it is stopped. An edit of
    the file of --config adds, changes and removes cameras while it runs.
    """
    settings = load_settings({"camera": {"fps": fps}, "http": {"port": http_port}})
    logs.setup(settings.log)
    # Before the cameras are read: an edit while Kafka is asked is seen.
    look = (lambda: None) if config is None else _file_of(config, settings).look
    given = {"source": source, "id": source_id, "loop": loop}
    specs = cameras(config, {key: value for key, value in given.items() if value}, settings)
    _log_left_out(specs)
    with tracing.running(settings.tracing, "sightline-camera"):
        spool = _spool_folder(settings, specs, config)
        _require_topic(settings, spool)
        agent.run(settings, specs, Stop().install(), look, spool)


def cameras(config: Path | None, given: dict[str, Any], settings: Settings) -> list[CameraSpec]:
    """The cameras that the options name; `given`: those of them that were given. Raises ConfigError."""
    if config is not None and given:
        raise ConfigError(
            f"--config names all cameras: leave out --{' and --'.join(given)}, or give one camera without --config"
        )
    if config is not None:
        return load_cameras(config, settings.camera)
    if "source" not in given:
        raise ConfigError(
            "give --source (rtsp://, http://, a file, a folder, usb:0, sim:NAME) or --config cameras.toml"
        )
    sources = given.pop("source")
    if len(sources) > 1 and "id" in given:
        raise ConfigError("--id names one camera: leave it out, or give each camera its id in cameras.toml (--config)")
    specs = [camera_spec({"source": source, **given}, settings.camera) for source in sources]
    if faults := duplicate_ids(specs):
        raise ConfigError(*faults)
    return specs


def _spool_folder(settings: Settings, specs: list[CameraSpec], config: Path | None) -> Path | None:
    """Where frames of live sources go while Kafka is away; None where they go nowhere, or there is no such source."""
    if not settings.spool.enabled or (config is None and not any(spec.source.live for spec in specs)):
        return None
    names = [spec.source_id for spec in specs] if config is None else [str(config.absolute())]
    return folder_for(settings.spool, TopicNames.for_lane(settings.topic_prefix).frames, names)


def _require_topic(settings: Settings, spool: Path | None) -> None:
    """An agent that comes back during an outage goes on; at its first start Kafka must be there."""
    try:
        require_topics(settings, writes=[TopicNames.for_lane(settings.topic_prefix).frames])
    except Unavailable as away:
        if away.answers or spool is None or not was_used(spool):
            raise
        log.warning("Kafka is away: frames go to disk until it is back", why=str(away))


def _file_of(config: Path, settings: Settings) -> CamerasFile:
    def load() -> list[CameraSpec]:
        specs = load_cameras(config, settings.camera)
        _log_left_out(specs)
        return specs

    return CamerasFile(config, load)


def _log_left_out(specs: list[CameraSpec]) -> None:
    """Log which files of a folder are not sent, so that nobody waits for their labels."""
    for spec in specs:
        if others := spec.source.others.count:
            log.info(
                "files not sent: by their names they are no images",
                source_id=spec.source_id,
                files=others,
                such_as=list(spec.source.others.such_as),
            )
        if closed := spec.source.closed.count:
            log.warning(
                "folders not sent: they cannot be entered",
                source_id=spec.source_id,
                folders=closed,
                such_as=list(spec.source.closed.such_as),
            )
