"""`sightline dead list|show|export`: shows and exports dead letters, with the reasons."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from infra.commands.options import ErrorOption, FromOption, JsonOption, SourceIdOption, StageOption, ToOption
from infra.failures.dead_letters import DeadFilter, DeadLetter, Mark, Place, parse_place, read_dead_letters
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.times import now_us, parse_time_range
from infra.settings import Settings, load_settings
from schemas.errors import ConfigError
from sinks.dead.export import Export
from sinks.dead.text import dead_letter_fields, dead_letters_table, describe, full_fields

DEFAULT_LIMIT = 1_000

LimitOption = Annotated[int, typer.Option(min=1, help="Return at most this many dead letters.")]
PlaceArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="PARTITION/OFFSET of the dead letter, as `dead list` prints it.")
]
DirectoryOption = Annotated[
    Path,
    typer.Option("--to-dir", help="The folder to write to; it is created if needed and must not contain an export."),
]


def list_command(
    *,
    from_: FromOption = None,
    to: ToOption = None,
    stage: StageOption = None,
    error: ErrorOption = None,
    source_id: SourceIdOption = None,
    limit: LimitOption = DEFAULT_LIMIT,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first within each partition, and show whether each was redriven.

    --from and --to select by the time at which the frame was declared dead. With --json each line is one object.
    """
    settings = _settings()
    with Reader(settings) as reader:
        letters, more = collect(_entries(settings, reader, DeadFilter(stage, error, source_id), from_, to), limit)
    if as_json:
        for letter in letters:
            print(json.dumps(letter))
        if more:
            print(f"sightline: and {more:,} more: raise --limit", file=sys.stderr)
        return
    console = Console(highlight=False)
    if letters:
        console.print(dead_letters_table(letters))
    reasons = Counter(letter["error"] or "?" for letter in letters)
    text = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    console.print(f"{len(letters):,} dead letters" + (f": {text}" if text else ""), markup=False)
    if more:
        console.print(f"and {more:,} more: raise --limit", markup=False)


def show_command(place: PlaceArgument, as_json: JsonOption = False) -> None:
    """Show one dead letter in full: the reason, the headers, the frame's fields, the first bytes.

    With --json the result is one object.
    """
    settings = _settings()
    topic = TopicNames.for_lane(settings.topic_prefix).dead
    partition, offset = parse_place(place, topic)
    only = DeadFilter(places=frozenset([(partition, offset)]))
    with Reader(settings) as reader:
        found = list(read_dead_letters(reader, topic, only))
    letter = next((entry for entry in found if isinstance(entry, DeadLetter)), None)
    if letter is None:
        raise ConfigError(f"there is no dead letter {partition}/{offset} on {topic}")
    marked = any(isinstance(entry, Mark) and entry.letter == letter.place for entry in found)
    fields = full_fields(letter, marked, registry_of(settings))
    print(json.dumps(fields) if as_json else "\n".join(describe(fields)))


def export_command(
    *,
    to_dir: DirectoryOption,
    from_: FromOption = None,
    to: ToOption = None,
    stage: StageOption = None,
    error: ErrorOption = None,
    source_id: SourceIdOption = None,
    limit: LimitOption = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Write dead letters to files: the image of a frame, the raw bytes of any other record, and a manifest.jsonl.

    --from and --to select by the time at which the frame was declared dead. With --json each line is one object.
    """
    settings = _settings()
    wanted, more = DeadFilter(stage, error, source_id), False
    with Reader(settings) as reader:
        letters = (entry for entry in _entries(settings, reader, wanted, from_, to) if isinstance(entry, DeadLetter))
        # Reading one dead letter first raises errors of the options and of Kafka before the folder is created.
        first = list(islice(letters, 1))
        with Export(to_dir, registry_of(settings)) as export:
            for letter in chain(first, letters):
                if export.written == limit:
                    more = True
                    break
                line = export.write(letter)
                if as_json:
                    print(json.dumps(line))
    if not as_json:
        print(f"{export.written:,} dead letters in {to_dir}")
    if more:
        print(f"sightline: there are more than {limit:,}: raise --limit", file=sys.stderr)


def collect(entries: Iterable[DeadLetter | Mark], limit: int) -> tuple[list[dict[str, Any]], int]:
    """At most `limit` dead letters as `dead list --json` prints them, and the number of further ones."""
    kept: dict[Place, dict[str, Any]] = {}
    more = 0
    for entry in entries:
        if isinstance(entry, Mark):
            if entry.letter in kept:
                kept[entry.letter]["redriven"] = True
        elif len(kept) < limit:
            kept[entry.place] = dead_letter_fields(entry, redriven=False)
        else:
            more += 1
    return [kept[place] for place in sorted(kept)], more


def _entries(
    settings: Settings, reader: Reader, wanted: DeadFilter, from_: str | None, to: str | None
) -> Iterator[DeadLetter | Mark]:
    topic = TopicNames.for_lane(settings.topic_prefix).dead
    from_us, to_us = parse_time_range(from_, to, now_us())
    return read_dead_letters(reader, topic, wanted, from_us, to_us)


def _settings() -> Settings:
    settings = load_settings()
    logs.setup(settings.log)
    require_topics(settings, reads=[TopicNames.for_lane(settings.topic_prefix).dead])
    return settings
