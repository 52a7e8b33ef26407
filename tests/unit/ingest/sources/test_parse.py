"""What --source and cameras.toml mean, and every fault that they can have."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.settings import CameraSettings
from ingest.camera.spec import camera_spec, load_cameras
from ingest.sources.files import encoding_of, folder_contents, image_files
from ingest.sources.parse import ReaderKind, default_id, parse_source
from ingest.sources.readers.images import ImageFiles
from ingest.sources.task import CaptureTask
from schemas.errors import ConfigError
from schemas.records import Encoding

SETTINGS = CameraSettings()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / ".hidden").mkdir()
    for name in ("b.jpg", "a.png", "noname", "labels.csv", "clip.mp4", "deep/c.JPG", ".hidden/d.jpg", "empty.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"" if name == "empty.jpg" else b"\xff\xd8\xff")
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"....ftyp")
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "photo").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "reader", "live", "source_id"),
    [
        ("rtsp://joe:pw@cam-7:554/s/1", ReaderKind.STREAM, True, "cam-7-554-s-1"),
        ("RTSPS://cam/1", ReaderKind.STREAM, True, "cam-1"),
        ("http://cam/video.mjpg", ReaderKind.HTTP, True, "cam-video.mjpg"),
        ("https://cam/snap.jpg", ReaderKind.HTTP, True, "cam-snap.jpg"),
        ("https://host/clip.mp4", ReaderKind.VIDEO, False, "host-clip.mp4"),
        ("usb:0", ReaderKind.USB, True, "usb-0"),
        ("sim:coffee", ReaderKind.SIM, True, "sim-coffee"),
        ("sim:mix?size=320x240&seed=4", ReaderKind.SIM, True, "sim-mix"),
    ],
)
def test_addresses(text: str, reader: ReaderKind, live: bool, source_id: str) -> None:
    source = parse_source(text)
    assert (source.reader, source.live, default_id(source)) == (reader, live, source_id)
    assert "pw" not in source.shown


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("clip.mp4", ReaderKind.VIDEO),
        ("page.jpg", ReaderKind.IMAGES),
        ("photo", ReaderKind.IMAGES),
        ("photos", ReaderKind.IMAGES),
    ],
)
def test_files(files: Path, name: str, reader: ReaderKind) -> None:
    source = parse_source(str(files / name))
    assert (source.reader, source.live) == (reader, False)


def test_a_folder_gives_everything_that_may_be_an_image_sorted(files: Path) -> None:
    folder = files / "photos"
    found = [str(file.relative_to(folder)) for file in image_files(folder)]
    assert found == ["a.png", "b.jpg", "deep/c.JPG", "empty.jpg", "noname"]
    assert folder_contents(folder).others == ["clip.mp4", "labels.csv"]
    assert folder_contents(folder).closed == []


def test_linked_folders_are_entered_once_and_by_their_own_name_where_they_have_one(files: Path) -> None:
    folder = files / "photos"
    (files / "elsewhere").mkdir()
    (files / "elsewhere" / "e.jpg").write_bytes(b"\xff\xd8\xff")
    for link, target in (
        *(("linked", files / "elsewhere"), ("twice", files / "elsewhere"), ("around", folder)),
        *(("before", folder / "deep"), ("nowhere", files / "none")),
    ):
        (folder / link).symlink_to(target)
    found = [str(file.relative_to(folder)) for file in image_files(folder)]
    assert found == ["a.png", "b.jpg", "deep/c.JPG", "empty.jpg", "linked/e.jpg", "noname"]


def test_folders_that_cannot_be_entered_are_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> Iterator[Any]:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert folder_contents(files / "photos").closed == ["deep"]
    assert "a.png" in [file.name for file in image_files(files / "photos")]


def test_names_that_are_no_utf_8_are_made_text_where_they_enter(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"f\xfcr")
    folder.mkdir()
    for name in (b"caf\xe9.jpg", b"\xe9.csv"):
        (folder / os.fsdecode(name)).write_bytes(b"\xff\xd8\xff")
    source = parse_source(str(folder))
    assert source.shown == f"{tmp_path}/f\ufffdr"
    assert folder_contents(folder).others == ["\ufffd.csv"]
    task = CaptureTask(source.reader, source.address, 100.0, False, 90, 1_000, 1_000, 1 << 20)
    images = ImageFiles(CaptureTask.from_line(task.to_line()))
    assert images.grab() == 0.0
    image = images.retrieve()
    assert image is not None
    assert (image.name, image.data) == ("caf\ufffd.jpg", b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("usb:front", "usb:0"),
        ("sim:toaster", "coffee"),
        ("sim:", "there are"),
        ("sim:coffee?size=big", "size=640x480"),
        ("sim:coffee?colour=red", "options are"),
        ("rtmp://host/x", "not supported"),
        ("rtsp:///x", "no host"),
        ("rtsp://joe:secret/word@cam/x", "%2F"),
        ("no/such/file.mp4", "no such file"),
    ],
)
def test_faults_say_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(text)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_empty_folder_is_a_fault(files: Path) -> None:
    with pytest.raises(ConfigError, match="no image files"):
        parse_source(str(files / "empty"))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\xff\xd8\xff\xe0", Encoding.JPEG),
        (b"\x89PNG\r\n\x1a\n.", Encoding.PNG),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Encoding.WEBP),
        (b"GIF89a", Encoding.OTHER),
        (b"", Encoding.OTHER),
    ],
)
def test_the_bytes_say_what_an_image_is(data: bytes, encoding: Encoding) -> None:
    assert encoding_of(data) == encoding


def test_cameras_toml(files: Path) -> None:
    file = files / "cameras.toml"
    file.write_text(
        '[[camera]]\nid = "dock-03"\nsource = "rtsp://joe:${PW}@cam/1"\nfps = 2\n'
        '[[camera]]\nsource = "clip.mp4"\nloop = true\njpeg_quality = 70\n'
    )
    first, second = load_cameras(file, SETTINGS, {"PW": "geheim"})
    assert (first.source_id, first.fps, first.source.address) == ("dock-03", 2.0, "rtsp://joe:geheim@cam/1")
    assert first.source.shown == "rtsp://cam/1"
    assert (second.source_id, second.loop, second.jpeg_quality, second.fps) == ("clip", True, 70, SETTINGS.fps)
    assert second.source.address == str(files / "clip.mp4")


def test_all_faults_of_a_file_are_listed_at_once(files: Path) -> None:
    file = files / "cameras.toml"
    file.write_text(
        "title = 1\n"
        '[[camera]]\nid = "a b"\nsource = "sim:coffee"\nfps = 0\n'
        '[[camera]]\nsource = "rtsp://${UNSET}@cam"\nloop = "yes"\n'
        "[[camera]]\nurl = 1\njpeg_quality = true\n"
        '[[camera]]\nid = "twice"\nsource = "sim:coffee"\n'
        '[[camera]]\nid = "twice"\nsource = "sim:flower"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_cameras(file, SETTINGS, {})
    text = "\n".join(caught.value.faults)
    for words in ("title", "'a b'", "fps", "UNSET", "loop", "url", "source is missing", "jpeg_quality", "twice"):
        assert words in text
    assert len(caught.value.faults) == 9


@pytest.mark.parametrize("text", ["", "camera = 3", "[camera]\nid='a'", "camera = []", "= 3"])
def test_a_file_without_cameras_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="camera"):
        load_cameras(file, SETTINGS, {})


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cameras(tmp_path / "none.toml", SETTINGS, {})


def test_ids_are_kept_to_what_a_frame_id_can_hold() -> None:
    with pytest.raises(ConfigError, match="'a/b'"):
        camera_spec({"id": "a/b", "source": "sim:coffee"}, SETTINGS, {})
