"""`sightline archive run|verify|list`: frames beyond Kafka's retention, as Parquet files that any tool reads."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from infra.commands.options import HttpPortOption, JsonOption
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.process.times import parse_duration_ms
from infra.settings import Settings, load_settings
from ingest.archive.book import Book
from ingest.archive.events import Only, parse_only
from ingest.archive.manifest import RETENTION
from ingest.archive.service import run_archive
from ingest.archive.store import open_store
from ingest.archive.text import describe_gaps, describe_result, list_json, list_table, result_json, verify_json
from ingest.archive.verify import verify
from schemas.errors import ConfigError, SightlineError

# The exit code of a run that found frames gone.
WITH_GAPS = 3
LINE_CHARACTERS = 140

UrlArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[URL]",
        help="A folder, or a URL such as s3://bucket/frames (default: the setting archive.url).",
        show_default=False,
    ),
]
OnceOption = Annotated[bool, typer.Option("--once", help="Archive what the topic has now, and end.")]
KeepOption = Annotated[
    str | None, typer.Option("--keep", metavar="AGE", help="Remove files older than that, such as 30d.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="EVENTS",
        help="Keep only frames around events: review, dead, class=GLOB, and how much before and after each, such as "
        "'review,class=person,before=30s,after=60s'.",
    ),
]


def run_command(
    url: UrlArgument = None,
    *,
    once: OnceOption = False,
    keep: KeepOption = None,
    only: OnlyOption = None,
    http_port: HttpPortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Archive the frames of frames.raw as Parquet files, by hour, until the command is ended.

    A file counts once it was read back. A run that is killed at any time is gone on with: no frame is lost or archived
    twice. No consumer group is joined, and nothing is committed. With --once the command ends at the present end of
    the topic; the exit code is 3 when retention had removed frames before they were archived.
    """
    settings = load_settings({"http": {"port": http_port}})
    logs.setup(settings.log)
    keep_ms = parse_duration_ms(keep, "--keep") if keep is not None else None
    wanted: Only | None = parse_only(only) if only is not None else None
    stop = Stop().install()
    result = run_archive(settings, _url(settings, url), stop, once=once, keep_ms=keep_ms, only=wanted)
    complete = once and not stop.is_set()
    print(json.dumps(result_json(result, complete=complete)) if as_json else describe_result(result))
    if once and not complete:
        raise SightlineError("stopped before the end: what was archived counts, and the next run goes on from there")
    if once and result.gaps[RETENTION]:
        sys.exit(WITH_GAPS)


def verify_command(url: UrlArgument = None, *, as_json: JsonOption = False) -> None:
    """Read every file of an archive and prove it: there, whole, unaltered, with the frames that its manifest says.

    Each file that is cut, altered or missing is named, and the exit code is 1.
    """
    settings = load_settings()
    logs.setup(settings.log)
    stop = Stop().install()
    book = Book.load(open_store(_url(settings, url)))
    faults, checked = [], 0
    for fault in verify(book, stop.is_set):
        if fault is None:
            checked += 1
            continue
        faults.append(fault)
        if not as_json:
            print(fault.sentence)
    complete = not stop.is_set()
    found = verify_json(book, faults, checked, complete=complete)
    if as_json:
        print(json.dumps(found))
    elif complete and not faults:
        print(f"{checked:,} files with {found['frames']:,} frames are whole")
    if not complete:
        raise SightlineError(f"stopped before the end: {checked:,} of {len(book.files()):,} files were found whole")
    if faults:
        sys.exit(1)


def list_command(url: UrlArgument = None, *, as_json: JsonOption = False) -> None:
    """List what an archive has: a line for each hour, and its gaps; with --json every file."""
    settings = load_settings()
    logs.setup(settings.log)
    book = Book.load(open_store(_url(settings, url)))
    if as_json:
        print(json.dumps(list_json(book)))
        return
    if book.head.only:
        print(f"{book.topic}, only {book.head.only}")
    # Into a pipe or a file nothing is cut off.
    Console(highlight=False, width=None if sys.stdout.isatty() else LINE_CHARACTERS).print(list_table(book))
    if gaps := describe_gaps(book):
        print(gaps)


def _url(settings: Settings, given: str | None) -> str:
    if not (given or settings.archive.url):
        raise ConfigError("say where the archive is: a folder or a URL, or the setting archive.url")
    return given or settings.archive.url
