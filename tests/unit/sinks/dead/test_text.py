"""Dead letters on a terminal and in files: control characters and paths in their fields have no effect."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from infra.failures.dead_letters import DeadLetter
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.errors import ConfigError, SinkError
from schemas.headers import Failure, failure_headers
from sinks.dead.export import MANIFEST, Export, content, file_name
from sinks.dead.text import dead_letter_fields, dead_letters_table, describe, full_fields, hex_lines
from tests.support.sink_records import a_frame, a_jpeg

EVIL = "../../etc/\x1b[2J\npasswd\0"


def a_letter(value: bytes | None, key: bytes = b"dock-1", error: str = "truncated", offset: int = 17) -> DeadLetter:
    failure = Failure(Coordinates("frames.raw", 3, 99), 1_700_000_000_000, "decode", error, "ends early", 1)
    return DeadLetter((3, offset), 1_700_000_001_000, key, value, failure_headers(None, failure), failure)


def test_file_names_hold_nothing_but_letters_digits_dots_and_dashes() -> None:
    assert file_name(a_letter(b"x"), ".bin") == "3-17_dock-1_truncated.bin"
    name = file_name(a_letter(b"x", key=EVIL.encode(), error=EVIL * 20), ".bin")
    assert name.startswith("3-17_")
    assert "/" not in name and not name.startswith(".") and name.isprintable() and len(name) < 200
    assert ".." not in name.replace("..-", "")


def test_the_image_of_a_frame_is_exported_as_it_is_and_anything_else_as_bytes(tmp_path: Path) -> None:
    jpeg = a_jpeg()
    with Export(tmp_path / "out", None) as export:
        export.write(a_letter(codec.encode(a_frame(1, image=jpeg))))
        export.write(a_letter(b"raw", key=EVIL.encode(), offset=18))
        export.write(a_letter(None, offset=19))
    lines = [json.loads(line) for line in (tmp_path / "out" / MANIFEST).read_text().splitlines()]
    assert [(tmp_path / "out" / line["file"]).read_bytes() for line in lines] == [jpeg, b"raw", b""]
    assert [Path(line["file"]).suffix for line in lines] == [".jpg", ".bin", ".bin"]
    assert lines[0]["origin"]["offset"] == 99
    assert lines[1]["source_id"] == EVIL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_export_never_writes_to_what_exists_nor_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "3-17_dock-1_truncated.bin").symlink_to(outside)
    with Export(tmp_path / "out", None) as export, pytest.raises(ConfigError, match="exists"):
        export.write(a_letter(b"raw"))
    assert outside.read_text() == "precious"
    with pytest.raises(ConfigError, match="export already"):
        Export(tmp_path / "out", None)


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for folder in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(ConfigError, match=r"^cannot write to .*file.*: choose another folder$"):
            Export(folder, None)


def test_a_disk_that_is_full_is_one_sentence(tmp_path: Path) -> None:
    with Export(tmp_path / "out", None) as export:
        (tmp_path / "out" / MANIFEST).unlink()
        (tmp_path / "out").rmdir()
        with pytest.raises(SinkError, match=r"^cannot write to .*No such file.* after 0 dead letters$"):
            export.write(a_letter(b"raw"))
    export = Export(tmp_path / "full", None)
    export._manifest.close()
    export._manifest = Path("/dev/full").open("w")  # noqa: SIM115 - closed by the export
    export.write(a_letter(b"raw"))
    with pytest.raises(SinkError, match="No space left on device"):
        export.__exit__()


def test_show_tells_all_and_obeys_nothing() -> None:
    letter = a_letter(codec.encode(a_frame(1)), key=EVIL.encode(), error=EVIL)
    text = "\n".join(describe(full_fields(letter, True, None)))
    assert "\x1b" not in text and "\0" not in text
    for word in (
        "3/17",
        ", redriven",
        "frames.raw/3 offset 99",
        "ends early",
        "frame_id: dock-1/1/1",
        "image_bytes",
    ):
        assert word in text
    raw = "\n".join(describe(full_fields(a_letter(b"\xff\xd8hello"), False, None)))
    assert "not a Frame (not_avro" in raw
    assert "ff d8 68 65 6c 6c 6f" in raw


def test_a_list_shows_markup_as_it_is() -> None:
    letter = a_letter(b"x", key=b"[/]", error="[/red]")
    out = io.StringIO()
    console = Console(width=200, file=out)
    console.print(dead_letters_table([{**dead_letter_fields(letter, False), "stage": "[bold]", "message": "[/dim]"}]))
    text = out.getvalue()
    assert all(word in text for word in ("[/]", "[bold]", "[/red]", "[/dim]"))


def test_a_manifest_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = "import sys; from tests.unit.sinks.dead.test_text import export_one; export_one(sys.argv[1])"
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], env=environment, check=True, timeout=60)
    assert json.loads((tmp_path / "out" / MANIFEST).read_text(encoding="utf-8"))["source_id"] == "Tür-猫"


def export_one(folder: str) -> None:
    with Export(Path(folder), None) as export:
        export.write(a_letter(b"raw", key="Tür-猫".encode()))


def test_times_that_no_calendar_has_are_shown_as_numbers(tmp_path: Path) -> None:
    failure = Failure(Coordinates("frames.raw", 3, 99), 10**18, "decode", "truncated", "ends early", 1)
    frame = replace(a_frame(1), captured_at=1_700_000_000 * 10**9)
    letter = DeadLetter((3, 17), 2**62, b"dock-1", codec.encode(frame), failure_headers(None, failure), failure)
    fields = dead_letter_fields(letter, False)
    assert (fields["timestamp"], fields["origin"]["timestamp"]) == (str(2**62 * 1000), str(10**21))
    assert dead_letters_table([fields]).row_count == 1
    assert "captured_at: 1700000000000000000" in "\n".join(describe(full_fields(letter, False, None)))
    with Export(tmp_path / "out", None) as export:
        assert export.write(letter)["timestamp"] == fields["timestamp"]


def test_first_bytes_look_like_a_hexdump() -> None:
    assert hex_lines(b"") == ["  (none)"]
    assert hex_lines(bytes(range(60, 80)))[1].split() == ["4c", "4d", "4e", "4f", "LMNO"]


def test_an_unknown_encoding_has_a_suffix_too() -> None:
    assert content(b"", None) == (b"", ".bin")
