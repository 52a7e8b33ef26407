"""What counts as archived, after whatever end of the run before."""

import errno
import json
from pathlib import Path
from typing import BinaryIO

import pytest

import ingest.archive.write
from ingest.archive.book import Book, BookWriter
from ingest.archive.manifest import Gap, _sealed
from ingest.archive.reading import open_archive
from ingest.archive.rows import row_of
from ingest.archive.slices import Slicer
from ingest.archive.store import Store, open_store
from ingest.archive.write import SliceWriter
from schemas.errors import ArchiveError, ConfigError, NoRoom
from tests.support.archives import (
    LOG_ID,
    MAX_FILE_BYTES,
    NOON_MS,
    TOPIC,
    a_record,
    an_archive,
    archive_records,
    memory_url,
)

HOUR_MS = 3_600_000
RECORDS = [a_record(offset, f"dock-{offset % 2}", NOON_MS + offset * HOUR_MS // 10) for offset in range(40)]


def the_book(url: str) -> BookWriter:
    return BookWriter.open(open_store(url), TOPIC, LOG_ID, None)


def test_a_partition_goes_on_where_its_files_and_gaps_end() -> None:
    book = the_book(an_archive(RECORDS))
    assert (book.next_offset(0), book.next_offset(1)) == (40, None)
    book.add_gap("day=2026-11-27", Gap(1, 0, 10, "retention", NOON_MS))
    book.add_gap("day=2026-11-27", Gap(1, 10, 12, "retention", NOON_MS + 1))
    book.add_gap("day=2026-11-27", Gap(1, 12, 13, "no_record", NOON_MS + 2))
    again = Book.load(book.store)
    assert again.next_offsets() == {0: 40, 1: 13}
    assert [(gap.from_offset, gap.to_offset, gap.reason) for gap in again.gaps()] == [
        (0, 12, "retention"),
        (12, 13, "no_record"),
    ]


def test_retention_by_age_removes_whole_files_and_forgets_no_position() -> None:
    url = an_archive(RECORDS)
    book = the_book(url)
    removed = book.remove_older(NOON_MS + HOUR_MS)
    assert [(file.from_offset, file.to_offset) for file in removed] == [(0, 10)]
    assert [span.from_offset for span in open_archive(url).spans(TOPIC)] == [10, 20, 30]
    assert len(book.remove_older(NOON_MS + 5 * HOUR_MS)) == 3
    assert the_book(url).next_offset(0) == 40
    assert [path for path in book.store.files() if not path.startswith("archive.")] == []


def test_a_run_that_is_killed_before_the_manifest_leaves_a_stray_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    url = an_archive(RECORDS[:20], str(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(BookWriter, "add_file", killed)
        archive_records(open_store(url), RECORDS[20:], start=20)
    (tmp_path / TOPIC / "day=2026-11-26" / "hour=14" / "0-20-30.parquet.part").write_bytes(b"half")
    (tmp_path / TOPIC / "notes.txt").write_text("not ours")
    book = the_book(url)
    assert (book.next_offset(0), [span.to_offset for span in open_archive(url).spans(TOPIC)]) == (20, [10, 20])
    strays = ["0-20-30.parquet", "0-20-30.parquet.part", "0-30-40.parquet"]
    assert sorted(Path(path).name for path in book.strays()) == strays


@pytest.mark.parametrize("lost", [f"{TOPIC}/day=2026-11-26/manifest.json", "archive.json"])
def test_without_a_manifest_no_file_is_taken_for_a_stray(tmp_path: Path, lost: str) -> None:
    url = an_archive(RECORDS, str(tmp_path))
    (tmp_path / lost).unlink()
    with pytest.raises(ArchiveError, match=f"{lost} is missing"):
        the_book(url)
    assert len(list(tmp_path.rglob("*.parquet"))) == 4


def test_an_archive_from_before_days_were_named_is_read_and_gone_on_with(tmp_path: Path) -> None:
    url = an_archive(RECORDS[:20], str(tmp_path))
    head = tmp_path / "archive.json"
    fields = json.loads(head.read_bytes())
    del fields["days"], fields["checksum"]
    head.write_bytes(_sealed({name: value for name, value in fields.items() if name != "format"}))
    assert len(open_archive(url).spans(TOPIC)) == 2
    archive_records(open_store(url), RECORDS[20:], start=20)
    assert list(open_archive(url).records(TOPIC, 0, 0, 40)) == RECORDS


def test_another_archive_is_never_gone_on_with() -> None:
    url = an_archive(RECORDS)
    for topic, log_id, only, word in (
        ("frames.other", LOG_ID, None, "is the archive of frames.raw"),
        (TOPIC, "cluster/other", None, "was deleted and made again"),
        (TOPIC, LOG_ID, "dead,before=1ms,after=1ms", "keeps every frame"),
    ):
        with pytest.raises(ArchiveError, match=word):
            BookWriter.open(open_store(url), topic, log_id, only)
    assert open_archive(url).log_id == LOG_ID


def test_two_runs_never_write_to_one_archive(tmp_path: Path) -> None:
    on_disk = the_book(str(tmp_path))
    with pytest.raises(ArchiveError, match="another `archive run` writes"):
        the_book(str(tmp_path))
    on_disk.close()
    the_book(str(tmp_path)).close()
    url = memory_url()
    first, second = the_book(url), the_book(url)
    with pytest.raises(ArchiveError, match="another `archive run` has begun"):
        first.add_gap("day=2026-11-26", Gap(0, 0, 1, "no_record", NOON_MS))
    second.add_gap("day=2026-11-26", Gap(0, 0, 1, "no_record", NOON_MS))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(out: BinaryIO, _groups: object) -> None:
        out.write(b"PAR1 half")
        full()

    url = an_archive(RECORDS[:20], str(tmp_path))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with monkeypatch.context() as patch, pytest.raises(NoRoom, match="has no room: No space left on device"):
        patch.setattr(ingest.archive.write, "write_file", half)
        archive_records(open_store(url), RECORDS[20:], start=20)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    archive_records(open_store(url), RECORDS[20:], start=20)
    assert list(open_archive(url).records(TOPIC, 0, 0, 40)) == RECORDS


def test_a_file_counts_although_the_next_one_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    url = memory_url()
    book = the_book(url)
    writer, slicer = SliceWriter(book), Slicer(0, 0, MAX_FILE_BYTES)
    pieces = [piece for record in RECORDS if (piece := slicer.add(row_of(record, None))) is not None]
    assert writer.store(pieces[0], NOON_MS) == [], "it is being compared"
    with monkeypatch.context() as patch, pytest.raises(NoRoom):
        patch.setattr(ingest.archive.write, "write_file", full)
        writer.store(pieces[1], NOON_MS)
    assert [one.file.to_offset for one in writer.finish() if one.file] == [10]
    assert writer.finish() == []
    assert book.next_offset(0) == 10
    writer.close()


def test_what_the_storage_changes_is_found_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Store.read

    def changed(store: Store, path: str, start: int | None = None, end: int | None = None) -> bytes:
        data = bytearray(read(store, path, start, end))
        if path.endswith(".parquet"):
            data[len(data) // 2] ^= 1
        return bytes(data)

    url = memory_url()
    with monkeypatch.context() as patch, pytest.raises(ArchiveError, match="was altered"):
        patch.setattr(Store, "read", changed)
        archive_records(open_store(url), RECORDS)
    assert open_archive(url).spans(TOPIC) == []


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a::b #1 *?[x] %41"
    an_archive(RECORDS, str(folder))
    assert len(list(open_archive(str(folder)).records(TOPIC, 0, 0, 40))) == 40
    assert len(list(folder.rglob("*.parquet"))) == 4


def test_a_url_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="s3:// needs a package that is not installed"):
        open_store("s3://bucket/frames")
    with pytest.raises(ConfigError, match="nothing://x is not a path and not a URL"):
        open_store("nothing://x")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="cannot be written to: Not a directory"):
        the_book(str(tmp_path / "file" / "archive"))
