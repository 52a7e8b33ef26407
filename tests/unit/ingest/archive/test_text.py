"""An archive as people read it in a terminal."""

import io

import pytest
from rich.console import Console

from ingest.archive.book import Book
from ingest.archive.manifest import ArchivedFile, DayManifest, Head
from ingest.archive.store import open_store
from ingest.archive.text import list_table, verify_json
from tests.support.archives import NOON_MS, TOPIC, memory_url


def a_book(least_ms: int) -> Book:
    path = "day=2026-11-26/hour=12/3-1200-4711.parquet"
    file = ArchivedFile(path, 3, 0, 9, least_ms, NOON_MS + 456, 1_234_567, 9, 12_345_678_901, 2, 0, 0)
    return Book(open_store(memory_url()), Head(TOPIC, "log"), {"2026-11-26": DayManifest(TOPIC, "2026-11-26", (file,))})


@pytest.mark.parametrize(
    ("least_ms", "told"), [(NOON_MS, "12:00:00"), (NOON_MS - 86_400_000, "2026-11-25 12:00:00"), (-1, "1969-12-31")]
)
def test_a_terminal_of_80_columns_cuts_no_figure(least_ms: int, told: str) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(list_table(a_book(least_ms)))
    text = console.export_text()
    assert "…" not in text
    for part in (told.split()[0], told.split()[-1], "2026-11-26", "partitions", "1,234,567", "12,345.7 MB"):
        assert part in text


def test_an_archive_that_was_not_read_to_the_end_is_not_proved() -> None:
    assert verify_json(a_book(NOON_MS), [], 1)["ok"]
    assert not verify_json(a_book(NOON_MS), [], 0, complete=False)["ok"]
