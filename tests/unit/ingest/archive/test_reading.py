"""A selection reads what it needs and no more, and says which file is not what it was."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.kafka.spans import Period
from ingest.archive.book import Book
from ingest.archive.reading import open_archive
from ingest.archive.store import open_store
from ingest.archive.verify import verify
from schemas.errors import ArchiveError
from tests.support.archives import NOON_MS, TOPIC, a_record, an_archive

CAMERAS, ROUNDS, IMAGE = 100, 40, b"x" * 10_000
RECORDS = [
    a_record(round_ * CAMERAS + camera, f"cam-{camera:02d}", NOON_MS + round_ * 60_000, image=IMAGE)
    for round_ in range(ROUNDS)
    for camera in range(CAMERAS)
]
WHOLE_BYTES = sum(len(record.value or b"") for record in RECORDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    an_archive(RECORDS[:400], str(tmp_path), max_bytes=1_500_000)
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"), key=lambda path: int(path.stem.split("-")[1]))


def test_one_camera_of_a_hundred_costs_a_twentieth_of_the_bytes() -> None:
    archive = open_archive(an_archive(RECORDS))
    found = list(archive.records(TOPIC, 0, 0, len(RECORDS), source_glob="cam-37"))
    assert found == [record for record in RECORDS if record.key == b"cam-37"]
    assert archive.bytes_read <= 0.05 * WHOLE_BYTES


def test_a_part_of_the_time_reads_the_files_of_that_time(folder: Path) -> None:
    archive = open_archive(str(folder))
    period = Period(NOON_MS * 1000 + 60_000_000, NOON_MS * 1000 + 120_000_000)
    found = list(archive.records(TOPIC, 0, 0, 400, period=period))
    assert found == RECORDS[100:200]
    assert archive.bytes_read < 0.8 * WHOLE_BYTES / 10


def test_partitions_and_topics_that_are_not_archived_have_nothing(folder: Path) -> None:
    archive = open_archive(str(folder))
    assert list(archive.records(TOPIC, 1, 0, 400)) == []
    assert archive.spans("labels") == []
    assert archive.gaps("labels") == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5_000])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def alter_footer(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    """Another file of the same archive."""
    others = [one for one in path.parent.glob("*.parquet") if one != path]
    path.write_bytes(others[0].read_bytes())


def remove(path: Path) -> None:
    path.unlink()


HARMS = [(cut, "is cut"), (alter, "was altered"), (alter_footer, "was altered"), (swap, "is cut|was altered")]
HARMS += [(remove, "is missing")]


@pytest.mark.parametrize(("harm", "word"), HARMS)
def test_a_file_that_is_not_what_it_was_is_named(folder: Path, harm: Callable[[Path], None], word: str) -> None:
    hurt = files(folder)[1]
    harm(hurt)
    archive = open_archive(str(folder))
    first = archive.spans(TOPIC)[0].to_offset
    assert len(list(archive.records(TOPIC, 0, 0, first))) == first, "the other files can be read"
    with pytest.raises(ArchiveError, match=word) as raised:
        list(archive.records(TOPIC, 0, 0, 400))
    assert hurt.name in str(raised.value)
    faults = [fault for fault in verify(Book.load(open_store(str(folder)))) if fault]
    assert [Path(fault.file).name for fault in faults] == [hurt.name]
    assert hurt.name in faults[0].sentence


def test_harm_outside_the_selection_does_not_matter(folder: Path) -> None:
    data = bytearray(files(folder)[0].read_bytes())
    data[20_000] ^= 1
    files(folder)[0].write_bytes(data)
    archive = open_archive(str(folder))
    assert len(list(archive.records(TOPIC, 0, 0, 400, source_glob="cam-99"))) == 4
    with pytest.raises(ArchiveError, match="was altered"):
        list(archive.records(TOPIC, 0, 0, 400))


@pytest.mark.parametrize("name", ["archive.json", "manifest.json"])
def test_a_manifest_that_was_changed_is_not_believed(folder: Path, name: str) -> None:
    path = next(folder.rglob(name))
    whole = path.read_text()
    fields = json.loads(whole)
    fields["topic"] = "labels"
    for content in (json.dumps(fields), whole[:-40], "[]", "{}", ""):
        path.write_text(content)
        with pytest.raises(ArchiveError, match=name):
            open_archive(str(folder))
    path.write_text(whole.replace("sightline-archive/1", "sightline-archive/9"))
    with pytest.raises(ArchiveError, match="has the format sightline-archive/9"):
        open_archive(str(folder))


def test_a_folder_without_an_archive_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="holds no archive"):
        open_archive(str(tmp_path))
