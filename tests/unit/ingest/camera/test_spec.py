"""What cameras.toml means, in whatever encoding it is, and every fault that it can have."""

from pathlib import Path

import pytest

from infra.settings import CameraSettings
from ingest.camera.spec import Timeouts, camera_spec, load_cameras
from ingest.sources.parse import ReaderKind
from schemas.errors import ConfigError

SETTINGS = CameraSettings()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a video, a photo, and a folder with a photo."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "clip.mp4").write_bytes(b"....ftyp")
    (tmp_path / "photo").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


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


def test_usual_spellings_in_a_file(files: Path) -> None:
    file = files / "cameras.toml"
    sources = ("0", "usb1", "/dev/video2", "'clip.mp4'", f"file://{files}/photo", "photos")
    file.write_text("[[camera]]\nsource = 5\n" + "".join(f'[[camera]]\nsource = "{each}"\n' for each in sources))
    found = [(spec.source.reader, spec.source.address) for spec in load_cameras(file, SETTINGS, {})]
    assert found == [
        (ReaderKind.USB, "5"),
        *((ReaderKind.USB, str(number)) for number in range(3)),
        (ReaderKind.VIDEO, str(files / "clip.mp4")),
        *((ReaderKind.IMAGES, str(files / name)) for name in ("photo", "photos")),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_in_any_unicode_encoding_is_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    file = tmp_path / "cameras.toml"
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    file.write_bytes((mark + '[[camera]]\nsource = "rtsp://joe:größe@cam"\n'.replace("\n", line_end)).encode(encoding))
    assert load_cameras(file, SETTINGS, {})[0].source.address == "rtsp://joe:größe@cam"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            '[[camera]]\nid = "a"\nsource = "rtsp://joe:größe@cam"\n'.encode("latin-1"),
            "line 3 has a character that is not UTF-8",
        ),
        (b"\xef\xbb\xbf[[camera]]\nsource = '\xe9'\n", "line 2 has a character that is not UTF-8"),
        (b"\xff\xfe[\0[", "is not UTF-16-LE"),
        ("[[camera]]\nsource = “rtsp://joe:größe@cam”\n".encode(), 'line 2, column 10); write a plain " for the “'),
        ("[[camera]]\nsource = ‘rtsp://joe:größe@cam’\n".encode(), "write a plain ' for the ‘"),
        ("[[camera]]\nsource\u00a0= 'größe'\n".encode(), "write a plain space"),
        ("[[camera]]\nsource = größe\n".encode(), "line 2"),
        (b"\0\0\0", "it is not TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line_and_without_its_text(
    tmp_path: Path, data: bytes, words: str
) -> None:
    file = tmp_path / "cameras.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_cameras(file, SETTINGS, {})
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert words in text
    assert "größe" not in text


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


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "9" * 5_000,
        "[[camera]]\nsource = 0x" + "f" * 6_000,
        "[[camera]]\nsource = 'sim:coffee'\nfps = 0x" + "f" * 6_000,
        "[[camera]]\nsource = 'sim:coffee'\nid = \"a\\n\"",
    ],
)
def test_a_value_that_python_cannot_take_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"cameras\.toml"):
        load_cameras(file, SETTINGS, {})


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cameras(tmp_path / "none.toml", SETTINGS, {})


def test_ids_are_kept_to_what_a_frame_id_can_hold() -> None:
    with pytest.raises(ConfigError, match="'a/b'"):
        camera_spec({"id": "a/b", "source": "sim:coffee"}, SETTINGS, {})


def test_time_outs_and_transport_of_one_camera_come_before_the_settings_for_all() -> None:
    settings = SETTINGS.model_copy(update={"read_timeout_ms": 700, "rtsp_transport": "tcp"})
    keys = {"open_timeout_ms": 100, "lost_after_ms": 900, "rtsp_transport": "udp"}
    own = camera_spec({"source": "rtsp://cam/1", **keys}, settings, {})
    assert (own.timeouts, own.connection.rtsp_transport) == (Timeouts(100, 700, 900), "udp")
    every = camera_spec({"source": "rtsp://cam/1"}, settings, {})
    assert (every.timeouts, every.connection.rtsp_transport) == (Timeouts.of(settings), "tcp")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("read_timeout_ms", value) for value in (0, -1, 1.5, True, "5 s", 10**12)),
        *(("rtsp_transport", value) for value in ("TCP", "http", 5, "")),
    ],
)
def test_time_outs_and_transports_that_are_none_are_faults(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{key} must be") as caught:
        camera_spec({"source": "rtsp://cam/1", key: value}, SETTINGS, {})
    assert len(caught.value.faults) == 1
