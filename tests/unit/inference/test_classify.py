"""classify: which files, in which order, what becomes of broken ones; with the null model."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from inference.classify import find_files
from infra import cli
from schemas.errors import ConfigError


def picture(path: Path, red: int = 120) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 260), (red, 90, 40)).save(path)
    return path


def classify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    with pytest.raises(SystemExit) as ended:
        cli.run(["classify", "--model", "null", *words])
    code = ended.value.code
    return int(code or 0), capsys.readouterr().out.splitlines()


def test_folders_are_searched_sorted_and_arguments_keep_their_order(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.PNG", "b/a/9.webp", "b/.hidden.jpg", "b/.git/x.jpg", "c.jpg"):
        picture(tmp_path / name)
    for name in ("b/labels.csv", "b/film.mp4", "b/notes.txt"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "b" / "no_suffix").write_bytes(b"?")
    found = [str(path.relative_to(tmp_path)) for path in find_files([tmp_path / "c.jpg", tmp_path / "b"])]
    assert found == ["c.jpg", "b/1.PNG", "b/2.jpg", "b/a/9.webp", "b/no_suffix"]


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "labels.csv"
    odd.write_text("no image")
    assert find_files([odd]) == [odd]


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none does not exist"):
        find_files([tmp_path / "none"])
    with pytest.raises(ConfigError, match="there is no image in"):
        find_files([tmp_path])
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        find_files([fifo])


def test_one_json_line_per_image_in_order_over_several_batches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_INFER__MAX_BATCH_SIZE", "4")
    names = [f"{number:02}.png" for number in range(30)]
    for number, name in enumerate(names):
        picture(tmp_path / name, red=number)
    for broken in (3, 17, 18):
        (tmp_path / names[broken]).write_bytes(b"<html>not found</html>")
    code, lines = classify(capsys, "--json", str(tmp_path))
    results = [json.loads(line) for line in lines]
    assert code == 1
    assert [Path(result["path"]).name for result in results] == names
    assert [number for number, result in enumerate(results) if "error" in result] == [3, 17, 18]
    assert results[3] == {"path": str(tmp_path / names[3]), "error": "not_an_image", "detail": results[3]["detail"]}
    sound = results[0]
    assert set(sound) == {"path", "predictions", "decision", "reason", "score", "threshold", "score_kind"}
    assert set(sound["predictions"][0]) == {"class_id", "name", "probability"}
    assert (sound["decision"], sound["reason"]) == ("REVIEW", "quality:flat")
    told = (sound["score"], sound["threshold"], sound["score_kind"])
    assert told == (sound["predictions"][0]["probability"], 0.35, "probability")


def test_a_whole_folder_of_sound_images_is_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "one.jpg")
    code, lines = classify(capsys, str(tmp_path))
    assert code == 0
    assert len(lines) == 1 and lines[0].startswith(" 90.0%  null ") and "[review: quality:flat]" in lines[0]


def test_names_that_are_no_utf_8_come_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    code, lines = classify(capsys, "--json", str(tmp_path))
    assert code == 0 and json.loads(lines[0])["path"].endswith("/\udcff.png")
    code, lines = classify(capsys, str(tmp_path))
    assert code == 0 and "/\\xff.png" in lines[0]


def test_an_unreadable_and_an_empty_file_fail_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "1.png")
    (tmp_path / "2.png").touch()
    code, lines = classify(capsys, "--json", str(tmp_path))
    assert code == 1
    assert [json.loads(line).get("error") for line in lines] == [None, "empty"]


def test_a_name_with_escape_sequences_is_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a\x1b[31m\x9b2Jb.png")
    code, lines = classify(capsys, str(tmp_path))
    assert code == 0 and "a·[31m·2Jb.png" in lines[0]
