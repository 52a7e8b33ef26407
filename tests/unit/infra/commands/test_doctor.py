"""What the doctor reads from tools and files, and how it judges."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.commands import doctor_checks
from infra.commands.doctor import topic_mend
from infra.commands.doctor_checks import java_version, locked_versions
from infra.kafka.topic_admin import Difference
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_402"', 8),
        ("java: command not found", None),
        ("", None),
    ],
)
def test_java_version(said: str, version: int | None) -> None:
    assert java_version(said) == version


def test_the_lock_is_read_without_what_other_machines_need() -> None:
    text = 'numpy==2.3.1 \\\n    --hash=sha256:ab==\n    # via x==1\ncolorama==0.4 ; sys_platform == "win32" \\\n'
    assert locked_versions(text) == {"numpy": "2.3.1"}


def test_what_is_installed_here_is_what_is_locked() -> None:
    assert [finding.verdict for finding in doctor_checks.packages()] == ["ok"]


def test_a_tool_that_is_missing_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    findings = [*doctor_checks.java(), *doctor_checks.maven()]
    assert [(finding.verdict, finding.found) for finding in findings] == [("warn", "not installed")] * 2
    assert all("apt-get install -y" in finding.mend for finding in findings)


def test_java_is_known_behind_what_it_says_of_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text(
        "#!/bin/sh\necho 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g' >&2; echo 'openjdk version \"17.0.15\"' >&2\n"
    )
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert [finding.verdict for finding in doctor_checks.java()] == ["ok"]


def test_a_tool_that_hangs_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexec sleep 30\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(doctor_checks, "TOOL_TIMEOUT_S", 0.2)
    assert [finding.verdict for finding in doctor_checks.java()] == ["warn"]


def test_too_little_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "not" / "there" / "yet"))
    for free_gib, verdict in ((50, "ok"), (5, "warn"), (0.1, "fail")):
        usage = shutil._ntuple_diskusage(0, 0, int(free_gib * 1024**3))
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, usage=usage: usage)
        assert [finding.verdict for finding in doctor_checks.disk()] == [verdict]


def test_the_advice_on_partitions_says_what_growing_does_and_never_to_shrink() -> None:
    few = topic_mend(Difference("frames.raw", "partitions", "6", "24"))
    assert "kafka-topics.sh --alter --topic frames.raw --partitions 24" in few
    assert "within a minute" in few and "out of order once" in few and "topics.partitions = 6" in few
    many = topic_mend(Difference("frames.raw", "partitions", "24", "6"))
    assert "topics.partitions = 24" in many and "--alter" not in many
    assert "kafka-configs.sh" in topic_mend(Difference("labels", "retention.ms", "1", "2"))


@pytest.mark.parametrize(
    ("hidden", "said"),
    [("java", "Java 17 or newer is missing: sudo apt-get"), ("mvn", "Maven is missing: sudo apt-get")],
)
def test_make_names_the_missing_tool(tmp_path: Path, hidden: str, said: str) -> None:
    for tool in {"make", "sh", "grep", "java", "mvn", "python3"} - {hidden}:
        (tmp_path / tool).write_text(f'#!/bin/sh\nexec {shutil.which(tool) or "false"} "$@"\n')
        (tmp_path / tool).chmod(0o755)
    done = subprocess.run(
        [shutil.which("make") or "make", "kafka-tools"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr


def test_make_needs_no_java_for_a_kafka_of_ones_own(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "broker:9092"}
    command = [shutil.which("make") or "make", "kafka-tools", f"PYTHON={sys.executable}"]
    assert subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False).returncode == 0
