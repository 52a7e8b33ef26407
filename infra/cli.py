"""The program `sightline`: a table of commands. The module of a command is imported only when that command runs."""

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from schemas.errors import ConfigError, SightlineError

PACKAGES = ("schemas", "infra", "ingest", "inference", "sinks", "streams")
ROOT = Path(__file__).resolve().parent.parent

# command -> ("package.module:function", one line for `sightline --help`); a name with a space is a sub-command.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("sinks.demo.command:command", "run everything on one machine, with a live table of labels"),
    "up": ("infra.commands.services:up", "start the local Kafka and Valkey"),
    "down": ("infra.commands.services:down", "stop the local Kafka and Valkey; their data stays"),
    "status": ("infra.commands.services:status", "show where Kafka and Redis are and whether they answer"),
    "doctor": ("infra.commands.doctor:command", "check this machine and this installation"),
    "topics create": ("infra.commands.services:topics_create", "create all topics, or check existing ones"),
    "config check": ("infra.commands.services:config_check", "show all settings in force, or every error in them"),
    "camera": ("ingest.camera.command:command", "publish the frames of cameras, files and folders"),
    "camera status": ("ingest.camera.status_command:command", "show the health of all cameras"),
    "camera discover": ("ingest.camera.discover_command:command", "find the ONVIF cameras of the local network"),
    "gateway": ("ingest.gateway.command:command", "take uploads over HTTP, and give their labels back"),
    "gateway key add": ("ingest.gateway.key_command:add_command", "make an API key of the gateway; it is shown once"),
    "gateway key list": ("ingest.gateway.key_command:list_command", "list the API keys"),
    "gateway key remove": ("ingest.gateway.key_command:remove_command", "make an API key invalid"),
    "upload": ("ingest.upload.command:command", "upload pictures to a gateway, and get their labels"),
    "crawl": ("ingest.crawl.command:command", "publish the images of web sites, politely"),
    "stream": ("streams.command:command", "run the stream processor: frames to micro-batches"),
    "infer": ("inference.worker.command:command", "run the GPU worker: micro-batches to labels"),
    "classify": ("inference.classify:command", "label image files, without Kafka"),
    "subscribe": ("sinks.subscribe.command:command", "print labels as they are written, or from a given time on"),
    "sink jsonl": ("sinks.jsonl.command:command", "store labels as JSON lines, in files by day and hour"),
    "lag": ("infra.lag.command:command", "show how far consumer groups are behind, and whether that matters"),
    "monitor up": ("infra.monitoring.command:up_command", "run Prometheus and Alertmanager here, with our alerts"),
    "monitor down": ("infra.monitoring.command:down_command", "stop them"),
    "audit": ("sinks.audit.command:command", "prove that every frame became a label or a dead letter"),
    "explain": ("sinks.explain.command:command", "tell the life of one frame: each step, its labels, why it waits"),
    "dead list": ("sinks.dead.command:list_command", "list dead letters, by time, stage, error and source"),
    "dead show": ("sinks.dead.command:show_command", "show one dead letter in full"),
    "dead export": ("sinks.dead.command:export_command", "write dead letters to files"),
    "redrive": ("ingest.redrive.command:command", "send dead letters through the pipeline again"),
    "replay plan": ("ingest.replay.command:plan_command", "show what a replay of a time range would copy"),
    "replay start": ("ingest.replay.command:start_command", "run frames of the past through the replay lane"),
    "replay list": ("ingest.replay.control_command:list_command", "list all replays"),
    "replay status": ("ingest.replay.control_command:status_command", "show how far a replay is"),
    "replay pause": ("ingest.replay.control_command:pause_command", "pause a replay"),
    "replay resume": ("ingest.replay.command:resume_command", "go on with a paused or broken replay"),
    "replay cancel": ("ingest.replay.control_command:cancel_command", "end a replay for good"),
    "replay delete": ("ingest.replay.control_command:delete_command", "forget a replay that does not run"),
    "replay diff": ("sinks.replay.command:diff_command", "compare a replay's labels with the live ones of its frames"),
    "replay promote": ("sinks.replay.command:promote_command", "publish the changed labels of a replay as corrections"),
    "archive run": ("ingest.archive.command:run_command", "archive frames as Parquet files, by hour"),
    "archive verify": ("ingest.archive.command:verify_command", "prove every file of an archive"),
    "archive list": ("ingest.archive.command:list_command", "list the hours of an archive, and its gaps"),
    "bench": ("streams.bench.command:command", "measure the pipeline and compare it with the limit of the machine"),
}


def main(arguments: list[str] | None = None) -> None:
    """The console script. A SightlineError is printed as one sentence; the exit code is 2 for a ConfigError, else 1.

    Any other exception is a defect in Sightline and is shown with its traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the locale's encoding lacks some characters
    try:
        check_packages()
        run(words)
    except SightlineError as error:
        print(f"sightline: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def run(words: list[str]) -> None:
    """Find the command that `words` start with, import its module and no other, and run it."""
    if words[:1] == ["--version"]:
        print(importlib.metadata.version("sightline"))
        return
    name = next((name for count in (3, 2, 1) if (name := " ".join(words[:count])) in COMMANDS), None)
    if name is not None:
        _app(name)(args=words[len(name.split()) :], prog_name=f"sightline {name}")
        return
    group = words[0] if words and not words[0].startswith("-") else ""
    listed = {name: text for name, (_, text) in COMMANDS.items() if name.startswith(f"{group} " if group else "")}
    if not listed:
        close = difflib.get_close_matches(group, {name.split()[0] for name in COMMANDS}, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        raise ConfigError(f"there is no command `{group}`{hint} (`sightline --help` lists them)")
    print(f"Usage: sightline {group or 'COMMAND'} ... [OPTIONS]\n")
    for command, text in listed.items():
        print(f"  {command:<14} {text}")
    print("\n`sightline COMMAND --help` lists the options of a command.")
    unknown = [word for word in words[bool(group) :] if word not in ("--help", "-h")]
    if unknown:
        raise ConfigError(f"there is no command `{' '.join([group, *unknown]).strip()}`")


def check_packages() -> None:
    """Raises ConfigError when one of our six packages was installed by another project, such as PyPI's `inference`."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or not origin.is_relative_to(ROOT):
            owners = importlib.metadata.packages_distributions().get(name, [])
            foreign = ", ".join(owner for owner in owners if owner != "sightline") or "another project"
            raise ConfigError(
                f"the package `{name}` comes from {origin} ({foreign}) and not from Sightline in {ROOT}: "
                f"uninstall {foreign}, or install Sightline into an environment of its own"
            )


def _app(name: str) -> typer.Typer:
    module_name, _, function_name = COMMANDS[name][0].partition(":")
    function = getattr(importlib.import_module(module_name), function_name)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(_until_unread(function))
    return app


def _until_unread(function: Callable[..., None]) -> Callable[..., None]:
    """The command, with exit code 0 when the program that reads its output closes the pipe, as `| head` does."""

    @functools.wraps(function)
    def command(**options: Any) -> None:
        try:
            function(**options)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)

    return command


if __name__ == "__main__":
    main()
