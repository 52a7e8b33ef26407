"""Folders with any name: the home of the local services, the working directory, sources, and where a sink writes."""

import os
import shutil
from pathlib import Path

import pytest

from infra.local.jars import fetch_jars, jars_dir
from infra.local.state import read_state
from tests.support.batches import wait_for
from tests.support.images import encoded, textured
from tests.support.runner import Runner
from tests.support.services import JARS_HOME, share_jars, stopped_at_exit
from tests.support.videos import write_video

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

# What is special to lists of Kafka, class paths, properties files, configuration of Valkey, log4j and FFmpeg, and TOML.
EVERYTHING = "Zoë 茶, a:b\\c 'd\" ${sys:x} %03d #e;f|g [h]*!? i"
LATIN_1 = os.fsdecode(b"f\xfcr")
PHOTOS, FRAMES = 5, 6


def used(place: Path, home: Path, name: str, **environ: str) -> None:
    """`up`, then cameras, both stages and a sink in a folder of that name; every frame comes out as a label."""
    cwd = place / name / "work"
    photos = cwd / f"photos {name}" / "deep, er"
    photos.mkdir(parents=True)
    for number in range(PHOTOS):
        (photos / f"{name} {number}.png").write_bytes(encoded(textured(64, 64, seed=number), "PNG"))
    write_video(place / "clip.avi", FRAMES, 20.0).rename(cwd / f"a:{name}.mp4")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SIGHTLINE_", "LC_", "LANG"))}
    env |= {"SIGHTLINE_HOME": str(home), "SIGHTLINE_INFER__MODEL": "null", "SIGHTLINE_TOPICS__PARTITIONS": "2"}
    machine = Runner({**env, "SIGHTLINE_LOG__FORMAT": "json", **environ}, cwd=cwd)
    with stopped_at_exit(home):
        try:
            for command in (["up"], ["topics", "create"]):
                done = machine.run(*command, timeout_s=240)
                assert done.returncode == 0, done.stderr
            machine.start("stream")
            machine.start("infer")
            machine.start("sink", "jsonl", f"out {name}")
            for source in (f"photos {name}", str(photos), f"a:{name}.mp4"):
                done = machine.run("camera", "--source", source, "--fps", "20")
                assert done.returncode == 0, done.stderr
            expected = 2 * PHOTOS + FRAMES
            wait_for(lambda: lines_in(cwd / f"out {name}") >= expected, 60, "every label is stored", machine.started)
            done = machine.run("audit", "--from", "-1h")
            assert done.returncode == 0 and f" {expected}" in done.stdout, done.stdout + done.stderr
            found = read_state(home)
            assert found is not None and len(found.pids) == 2
        finally:
            machine.close()
            machine.run("down")
    broker = home / "kafka" / "broker-1"
    assert {"data", "metadata", "server.log"} <= {each.name for each in broker.iterdir()}
    assert (broker / "data" / "meta.properties").is_file()
    assert (home / "valkey" / "dump.rdb").is_file()
    assert {each.name for each in place.iterdir()} <= {name, "plain"}, "nothing is written elsewhere"


def lines_in(folder: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in folder.rglob("labels-*"))


def home_with_own_jars(home: Path) -> Path:
    """The jars lie in it: Java follows links, so that linked ones would have the name of another folder."""
    jars = jars_dir(home)
    jars.parent.mkdir(parents=True)
    with JARS_HOME.lock():
        shutil.copytree(fetch_jars(JARS_HOME.path).resolve(), jars)
    return home


@pytest.mark.system
def test_a_folder_with_every_special_character(tmp_path: Path) -> None:
    place = tmp_path / "places"
    used(place, home_with_own_jars(place / EVERYTHING / "home"), EVERYTHING)


@pytest.mark.system
@pytest.mark.parametrize(
    "name", ["Müller", "家", "a, b", "a:b", "a\\b", " a b ", "-a", "=a", "!a", "*", "a\nb", "y" * 200]
)
def test_a_folder_with_one_special_character(tmp_path: Path, name: str) -> None:
    place = tmp_path / "places"
    used(place, home_with_own_jars(place / name / "home"), name)


@pytest.mark.system
def test_a_locale_that_knows_ascii_alone(tmp_path: Path) -> None:
    place = tmp_path / "places"
    used(place, home_with_own_jars(place / EVERYTHING / "home"), EVERYTHING, LC_ALL="C")


@pytest.mark.system
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path, locale: str) -> None:
    """Java cannot work there, so the home is another one; everything else can."""
    home = tmp_path / "places" / "plain" / "home"
    share_jars(home)
    used(tmp_path / "places", home, LATIN_1, LC_ALL=locale)
