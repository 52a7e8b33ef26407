"""What --source means, and every fault that it can have."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.camera.spec import ID_PATTERN
from ingest.sources.files import encoding_of, folder_contents, image_files
from ingest.sources.parse import ReaderKind, default_id, parse_source
from ingest.sources.readers.images import ImageFiles
from ingest.sources.task import CaptureTask
from schemas.errors import ConfigError
from schemas.records import Encoding


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
        ("https://host/clip.mp4", ReaderKind.HTTP, True, "host-clip.mp4"),
        ("usb:0", ReaderKind.USB, True, "usb-0"),
        ("sim:coffee", ReaderKind.SIM, True, "sim-coffee"),
        ("sim:mix?size=320x240&seed=4", ReaderKind.SIM, True, "sim-mix"),
        ("SIM:coffee", ReaderKind.SIM, True, "sim-coffee"),
        *((text, ReaderKind.USB, True, "usb-0") for text in ("0", " 0 ", "00", "usb0", "USB:0", "usb 0", "usb://0")),
        *(
            (text, ReaderKind.USB, True, "usb-12")
            for text in ("/dev/video12", "file:///dev/video12", "v4l2:/dev/video12")
        ),
        *((text, ReaderKind.USB, True, "usb-3") for text in ("usb:/dev/video3", "video3", "webcam3", "“3”")),
        ('"rtsp://joe:pw@cam/1"', ReaderKind.STREAM, True, "cam-1"),
        ("  'http://cam/snap.jpg' ", ReaderKind.HTTP, True, "cam-snap.jpg"),
        ("„rtsp://cam/1“", ReaderKind.STREAM, True, "cam-1"),
        ("rtsp://joe:p@ss@cam/1", ReaderKind.STREAM, True, "cam-1"),
        ("rtsp://joe:12%2334@cam/1", ReaderKind.STREAM, True, "cam-1"),
        ("rtsp://joe:pw@10.0.0.7:554/at@home", ReaderKind.STREAM, True, "home"),
        ("http://[fe80::1]:80/snap?mail=a@b", ReaderKind.HTTP, True, "fe80-1-80-snap"),
        ("http://cam:88/snap.cgi?size=3&pwd=geheim@", ReaderKind.HTTP, True, "camera"),
        ("http://cam/at@home", ReaderKind.HTTP, True, "cam-at-home"),
    ],
)
def test_addresses(text: str, reader: ReaderKind, live: bool, source_id: str) -> None:
    source = parse_source(text)
    assert (source.reader, source.live, default_id(source)) == (reader, live, source_id)
    assert "pw" not in source.shown


@pytest.mark.parametrize(
    ("name", "source_id"),
    [
        ("Büro", "Buro"),
        ("Zoë, a:b\\c", "Zoe-a-b-c"),
        ("茶", "camera-7e00"),
        ("水", "camera-327b"),
        ("tür 茶", "tur-c7e9"),
        (os.fsdecode(b"f\xfcr"), "f-r-e914"),
        ("y" * 220, "y" * 150 + "-fd36"),
    ],
)
def test_an_id_is_made_of_any_name_and_differs_where_letters_are_lost(
    tmp_path: Path, name: str, source_id: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    made = default_id(parse_source(str(folder)))
    assert made == source_id
    assert ID_PATTERN.match(made)


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


@pytest.mark.parametrize(
    "spelling",
    [
        "{}",
        "'{}'",
        '"{}"',
        "“{}”",
        "`{}`",
        " {} ",
        "file://{}",
        "file:{}",
        "file://localhost{}",
        '"file://{}"',
        "FILE://{}",
    ],
)
def test_spellings_of_a_path(files: Path, spelling: str) -> None:
    (files / "a clip, 100%25.mp4").write_bytes(b"....ftyp")
    for name in ("clip.mp4", "photos", "a clip, 100%25.mp4"):
        source = parse_source(spelling.format(files / name))
        assert (source.address, source.shown) == (str(files / name), str(files / name))


def test_an_address_of_a_file_may_be_escaped(files: Path) -> None:
    (files / "ein Gruß.mp4").write_bytes(b"....ftyp")
    assert parse_source(f"file://{files}/ein%20Gru%C3%9F.mp4").address == str(files / "ein Gruß.mp4")


def test_a_file_keeps_its_name_whatever_that_looks_like(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    for name in ("0", "'quoted'", " a ", "usb0", "joe:pw@cam"):
        (files / name).write_bytes(b"\xff\xd8\xff")
        assert (parse_source(name).reader, parse_source(name).address) == (ReaderKind.IMAGES, name)


def test_a_camera_by_its_name_in_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "resolve", lambda _self: Path("/dev/video7"))
    assert parse_source("/dev/v4l/by-id/usb-Maker_Camera-index0").address == "7"


SECRETS = ("geheim", "12#34", "12", "34", "joe")


@pytest.mark.parametrize(
    "text",
    [
        *("joe:geheim@cam", "joe:geheim@cam:554/stream", "joe:12#34@cam", "joe@cam/x", "//joe:geheim@cam/x"),
        *("rtsp:/joe:geheim@cam/1", "rtsp:joe:geheim@cam", "rtsp//joe:geheim@cam", "RTSP ://joe:geheim@cam/1"),
        *("rtsp://joe:12#34@cam", "rtsp://joe:12#34@cam:554/1", "rtsp://joe:12?34@cam/1", "rtsp://joe:12/34@cam/1"),
        *("rtsp://joe:geheim/34@cam/1", "rtsp://joe#12:34@cam/1", "rtsp://joe?12:34@cam/1", "rtsp://joe#34@cam/1"),
        *("rtsp://joe:1@2#34@cam/1", "http://joe:1@2/34@cam/1", "rtsp://joe:12[34@cam/1", "rtsp://joe:12]34@cam/1"),
        *(
            "source=rtsp://joe:geheim@cam/1",
            "<rtsp://joe:geheim@cam/1>",
            "joe:geheim@rtsp://cam/1",
            "-rtsp://joe:34@cam",
        ),
        *(
            "rtmp://joe:geheim@cam/1",
            "usb:joe:geheim@cam",
            "file://joe:geheim@cam/x",
            "'joe:geheim@cam/1",
            "joe:geheim@",
        ),
        *("cam/snap.jpg?user=joe&pwd=geheim", "cam:80/user=joe_password=geheim_channel=1", "rtsp:/cam/1?token=geheim"),
    ],
)
@pytest.mark.parametrize("folder", [None, Path("/etc/sightline")])
def test_an_address_that_is_not_clear_is_refused_and_its_password_not_printed(text: str, folder: Path | None) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_source(text, folder)
    shown = str(caught.value).partition(": ")[0].removeprefix("source ")
    assert not [secret for secret in SECRETS if secret in shown], shown
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["joe:geheim@cam", "cam:554/1", "10.0.0.7/snap.jpg", "rtsp:/cam/1", "//cam/1", "www.cam.de/x"]
)
def test_an_address_without_its_scheme_is_told_how_one_begins(text: str) -> None:
    with pytest.raises(ConfigError, match="begins with rtsp://"):
        parse_source(text)


@pytest.mark.parametrize("text", ["photos/x.jpg", "./photos.d/x.jpg", "../a.b/c.jpg", "clip.mp4", "~/none.mp4"])
def test_a_path_that_is_not_there_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file or folder$"):
        parse_source(text)


def test_text_that_can_be_no_path_is_refused_in_a_sentence() -> None:
    long = "rtsp://cam/1?token=" + "x" * 400
    assert parse_source(long).address == long
    for text in ("x" * 400, "joe:geheim@" + "x" * 400, "a\0b", "~no_such_user/clip.mp4"):
        with pytest.raises(ConfigError, match="no such file"):
            parse_source(text)


def test_an_unclear_password_is_told_how_to_write_it() -> None:
    for text in ("rtsp://joe:12#34@cam", "rtsp://joe:12/34@cam/1", "rtsp://joe:12[34@cam/1"):
        with pytest.raises(ConfigError, match="# as %23"):
            parse_source(text)


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
