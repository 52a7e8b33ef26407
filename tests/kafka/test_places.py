"""Homes and folders with names that mean something else to a shell, a class path, a properties file or a log: all work.

In the locale C, in which Java reads no name beyond ASCII by itself.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.images import encoded, textured
from tests.support.runner import Runner
from tests.support.services import share_jars, stopped_at_exit

pytestmark = pytest.mark.timeout(600)

ODD = "Häuser 例え, a:b\\c 'd' \"e\" #%20 ${x}"
NAMES = ["Häuser 例え 🎥", "a, b;c:d=e back\\slash\\u0041 $HOME '\"#%20%d ${sys:user.dir}"]


@pytest.fixture
def machine_at(tmp_path: Path) -> Iterator[Callable[[str], Runner]]:
    """`sightline` with a state folder and a working directory of that name, and nothing configured."""
    runners: list[Runner] = []

    def made(name: str) -> Runner:
        place = tmp_path / name
        place.mkdir()
        share_jars(place / "home")
        env = {key: value for key, value in os.environ.items() if not key.startswith(("SIGHTLINE_", "LC_"))}
        runners.append(Runner({**env, "LANG": "C", "SIGHTLINE_HOME": str(place / "home")}, cwd=place))
        return runners[-1]

    with stopped_at_exit(tmp_path):
        yield made
        for runner in runners:
            runner.close()
            runner.run("down")


@pytest.mark.parametrize("name", NAMES)
def test_services_start_stop_and_keep_their_data_there(name: str, machine_at: Callable[[str], Runner]) -> None:
    machine = machine_at(name)
    for words in (("up",), ("topics", "create"), ("down",), ("up",), ("status",)):
        done = machine.run(*words)
        assert done.returncode == 0, done.stderr
    home = Path(machine.env["SIGHTLINE_HOME"])
    assert json.loads(machine.run("status", "--json").stdout)["kafka"]["up"]
    assert "created" not in machine.run("topics", "create").stdout, "the topics are still there"
    assert (home / "kafka" / "broker-1" / "server.log").stat().st_size and (home / "valkey").is_dir()
    assert {path.name for path in home.parent.iterdir()} == {"home"}, "nothing lies beside it"


def test_pictures_go_the_whole_way_from_one_such_folder_to_another(machine_at: Callable[[str], Runner]) -> None:
    machine = machine_at(ODD)
    pictures, labels = machine.cwd / "pictures, ü:1 [x] 例", machine.cwd / "labels, ü:\\ 例"
    pictures.mkdir()
    for number in range(6):
        (pictures / f"p, {number} 例 #%d.jpg").write_bytes(encoded(textured(160, 120, number)))
    done = machine.run("classify", str(pictures), "--model", "efficientnet-lite0")
    assert done.returncode == 0 and "6 files, 0 failed" in done.stdout + done.stderr, "the model lies in the home"
    for words in (("up",), ("topics", "create")):
        assert machine.run(*words).returncode == 0
    for stage in ("stream", "infer"):
        machine.start(stage, "--model", "null")
    machine.start("sink", "jsonl", str(labels))
    done = machine.run("camera", "--id", "one", "--source", pictures.name, "--fps", "20")
    assert done.returncode == 0, done.stderr
    assert machine.run("audit", "--wait", "90").returncode == 0
    for running in machine.started:
        assert running.stop() == 0, running.stderr
    stored = [line for file in labels.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(stored) == 6
