"""What is written down about local services, and how a process is known again."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.broker_config import broker_properties, to_text
from infra.local.home import Home
from infra.local.jars import fetch_jars, jars_dir, require_java, require_openable
from infra.local.kafka import cause_in_log
from infra.local.state import BrokerState, LocalState, ValkeyState, read_state, write_state
from infra.process import daemons
from infra.process.daemons import ProcessRef
from schemas.errors import ConfigError, Unavailable

PROCESS = ProcessRef(pid=123, started="boot:42", marker="/home/server.properties")
BROKERS = tuple(BrokerState(i, 10 * i, 10 * i + 1, 10 * i + 2, advertised_port=10 * i) for i in (1, 2, 3))
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Of this run only: another run of these tests may be under way on this machine.
MARKER = f"marker-{uuid.uuid4().hex}"


def test_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    state = LocalState("abc", (replace(BROKERS[0], process=PROCESS), BROKERS[1]), ValkeyState(77, PROCESS))
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state


def test_no_state_is_none(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nothing" / "here") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 99}', '{"version": 1, "cluster_id": null}'])
def test_a_broken_state_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=r"state\.json .* remove it"):
        read_state(tmp_path)


def test_addresses_are_of_what_was_started_and_not_stopped() -> None:
    running = tuple(replace(broker, process=PROCESS) for broker in BROKERS)
    state = LocalState("abc", (running[0], BROKERS[1], running[2]), ValkeyState(77))
    assert state.bootstrap_servers == "127.0.0.1:10,127.0.0.1:30"
    assert state.redis_url is None
    assert state.pids == {"kafka-1": 123, "kafka-3": 123}
    assert LocalState("abc", BROKERS).bootstrap_servers is None


def test_clients_are_sent_to_the_advertised_port() -> None:
    broker = replace(BROKERS[0], advertised_port=999, process=PROCESS)
    assert LocalState("abc", (broker,)).bootstrap_servers == "127.0.0.1:999"


def test_a_failed_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(tmp_path, LocalState("old"))

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_state(tmp_path, LocalState("new"))
    assert read_state(tmp_path) == LocalState("old")
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_readers_never_see_half_a_state(tmp_path: Path) -> None:
    write_state(tmp_path, LocalState("x"))
    done = threading.Event()

    def write() -> None:
        for number in range(200):
            write_state(tmp_path, LocalState("x" * (1 + number * 100)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert read_state(tmp_path) is not None
    writer.join()


def test_a_process_is_known_by_more_than_its_pid(tmp_path: Path) -> None:
    ref = daemons.spawn([*SLEEP, MARKER], MARKER, tmp_path / "log")
    assert ref.alive()
    assert not replace(ref, started="another boot:1").alive()
    assert not replace(ref, marker="another-marker").alive()
    assert daemons.find(MARKER, Path(sys.executable).name) == ref
    assert daemons.terminate([ref], timeout_s=5.0) == []
    assert not ref.alive()
    assert not Path(f"/proc/{ref.pid}").exists(), "a killed child must not stay a zombie"


def test_a_stranger_with_a_recorded_pid_is_never_signalled(tmp_path: Path) -> None:
    stranger = subprocess.Popen([*SLEEP, MARKER])
    try:
        daemons.terminate([ProcessRef(stranger.pid, "boot:1", MARKER)], timeout_s=0.2)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print('set', flush=True); time.sleep(60)"
    ref = daemons.spawn([sys.executable, "-c", program, "stubborn"], "stubborn", tmp_path / "log")
    while "set" not in daemons.last_lines(tmp_path / "log"):
        time.sleep(0.01)
    assert daemons.terminate([ref], timeout_s=0.2) == [ref]
    assert not ref.alive()


def test_the_marker_must_be_in_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a word"):
        daemons.spawn(SLEEP, "not there", tmp_path / "log")


def test_the_lock_is_reentrant_and_exclusive(tmp_path: Path) -> None:
    home = Home(tmp_path)
    taken = pytest.raises(Unavailable, match="another `sightline up`")
    with home.lock(), home.lock(), taken, Home(tmp_path).lock(timeout_s=0.2):
        pass
    with Home(tmp_path).lock(timeout_s=0.2):
        pass


def test_a_dead_holder_frees_the_lock(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from infra.local.home import Home\n"
        "with Home(Path(sys.argv[1])).lock(): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    with Home(tmp_path).lock(timeout_s=0.2):
        pass


@pytest.mark.parametrize(("count", "factor", "min_isr"), [(1, "1", "1"), (3, "3", "2")])
def test_replication_fits_the_number_of_brokers(tmp_path: Path, count: int, factor: str, min_isr: str) -> None:
    made = broker_properties(BROKERS[0], BROKERS[:count], tmp_path, tmp_path / "data")
    assert made["default.replication.factor"] == made["offsets.topic.replication.factor"] == factor
    assert made["min.insync.replicas"] == made["transaction.state.log.min.isr"] == min_isr
    assert made["controller.quorum.voters"].count("@") == count


def test_the_largest_dead_letter_passes_every_limit_of_the_broker(tmp_path: Path) -> None:
    made = broker_properties(BROKERS[0], BROKERS, tmp_path, tmp_path / "data")
    nine_mib = 9 * 1024 * 1024
    assert int(made["message.max.bytes"]) > nine_mib
    assert int(made["replica.fetch.max.bytes"]) >= int(made["message.max.bytes"])
    assert int(made["replica.fetch.response.max.bytes"]) >= int(made["message.max.bytes"])


def test_everything_listens_on_this_machine_only(tmp_path: Path) -> None:
    made = broker_properties(replace(BROKERS[0], advertised_port=9), BROKERS, tmp_path, tmp_path / "data")
    for key in ("listeners", "advertised.listeners", "controller.quorum.voters"):
        hosts = [word.replace("@", "//").split("//")[1].split(":")[0] for word in made[key].split(",")]
        assert set(hosts) == {"127.0.0.1"}
    assert made["advertised.listeners"].startswith("CLIENT://127.0.0.1:9,")


def test_backslashes_survive_the_properties_file() -> None:
    assert to_text({"log.dirs": "C:\\data"}) == "log.dirs=C:\\\\data\n"


def test_the_properties_file_is_ascii_and_one_line_for_each_property() -> None:
    """Java reads it as Latin-1, with UTF-16 in escapes."""
    assert to_text({"a": "é例🎥\nb=c"}) == "a=\\u00e9\\u4f8b\\ud83c\\udfa5\\nb=c\n"


def test_a_value_keeps_the_space_that_it_begins_with() -> None:
    assert to_text({"a": " x"}) == "a=\\ x\n"


@pytest.mark.parametrize("name", ["a, b", "a:b", "a\\b", "Zoë 茶", "!a", "${x}", " "])
def test_java_can_work_in_folders_of_most_names(tmp_path: Path, name: str) -> None:
    require_openable(tmp_path / name / "jars")


@pytest.mark.parametrize(("name", "why"), [("a!", "end of an archive"), (os.fsdecode(b"f\xfcr"), "not UTF-8")])
def test_where_java_cannot_work_one_sentence_says_so(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    for folder in (tmp_path / name / "jars", tmp_path / "link" / "jars"):
        with pytest.raises(ConfigError, match=rf"^the local Kafka cannot run in .*{why}.* Set SIGHTLINE_HOME") as told:
            require_openable(folder)
        assert str(told.value).encode()


def test_the_cause_is_the_last_error_of_the_log() -> None:
    assert cause_in_log("t INFO a\nt ERROR first\nt ERROR the cause (kafka)\nt INFO bye") == "t ERROR the cause (kafka)"
    assert cause_in_log("t INFO a\nt INFO b") == "t INFO b"
    assert cause_in_log("") == ""


def test_the_file_is_json_for_people(tmp_path: Path) -> None:
    write_state(tmp_path, LocalState("abc", (replace(BROKERS[0], process=PROCESS),)))
    assert json.loads((tmp_path / "state.json").read_text())["brokers"][0]["process"]["pid"] == 123


def test_jars_are_fetched_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    monkeypatch.setenv("PATH", f"{maven.parent}:{os.environ['PATH']}")
    home = tmp_path / "Zoë, 茶: \\home"
    killed_earlier = home / "kafka" / "fetching-abc"
    killed_earlier.mkdir(parents=True)

    maven.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact: connection refused'\nexit 1\n")
    maven.chmod(0o755)
    with pytest.raises(Unavailable, match="Could not transfer artifact"):
        fetch_jars(home)
    assert not killed_earlier.exists()
    assert list((home / "kafka").iterdir()) == []

    maven.write_text(
        "#!/bin/sh\nfor word; do case $word in -DoutputDirectory=*) d=${word#*=};; esac; done\n"
        'mkdir -p "$d"; : > "$d/kafka_x.jar"\n'
    )
    assert [jar.name for jar in fetch_jars(home).iterdir()] == ["kafka_x.jar"]
    maven.unlink()
    assert fetch_jars(home) == jars_dir(home)


def test_without_maven_or_java_one_sentence_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="apt-get install -y maven"):
        fetch_jars(tmp_path)
    with pytest.raises(ConfigError, match="apt-get install -y openjdk"):
        require_java()
