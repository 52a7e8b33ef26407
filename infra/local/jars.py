"""Kafka's jars: Maven fetches those that `kafka/pom.xml` names, once for each version, all of them or none."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from schemas.errors import ConfigError, Unavailable

INSTALL_JAVA = "apt-get install -y openjdk-17-jre-headless"
INSTALL_MAVEN = "apt-get install -y maven"

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_ATTEMPTS = 2
_TIMEOUT_S = 600
_SCRATCH = "fetching-"


def jars_dir(home: Path) -> Path:
    """The folder for the jars of this version; its name depends on the pom, so that an upgrade mixes no versions."""
    return home / "kafka" / f"jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def fetch_jars(home: Path) -> Path:
    """The folder with all jars; runs Maven when there is none (20 s, 43 MB). The caller holds the home's lock."""
    target = jars_dir(home)
    if target.is_dir():
        return target
    require_openable(target)
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError(f"Maven (mvn) is not installed; it fetches Kafka: {INSTALL_MAVEN}")
    target.parent.mkdir(parents=True, exist_ok=True)
    for left_over in target.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    # Maven works in the system's folder for such files: it does not take every name that a home may have.
    with (
        tempfile.TemporaryDirectory() as plain,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=_SCRATCH) as scratch,
    ):
        _run_maven(maven, Path(plain) / "jars")
        partial = shutil.copytree(Path(plain) / "jars", Path(scratch) / "jars")
        partial.rename(target)
    return target


def require_openable(folder: Path) -> None:
    """Raises ConfigError for a folder that Java cannot work in, whatever it is told: it follows links first."""
    path = os.fsencode(folder.resolve())
    try:
        shown = path.decode()
        fault = "Java reads a `!` at the end of a folder's name as the end of an archive" if "!/" in f"{shown}/" else ""
    except UnicodeDecodeError:
        shown, fault = path.decode(errors="replace"), "Java cannot open a folder whose name is not UTF-8"
    if fault:
        raise ConfigError(f"the local Kafka cannot run in {shown}: {fault}. Set SIGHTLINE_HOME to another folder")


def require_java() -> str:
    """The path of `java`. `sightline doctor` checks the version; an old one fails at the start with its own error."""
    java = shutil.which("java")
    if java is None:
        raise ConfigError(f"Java 17 or newer is not installed; Kafka runs on it: {INSTALL_JAVA}")
    return java


def _run_maven(maven: str, target: Path) -> None:
    command = [maven, "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
            output = done.stdout + done.stderr
            if done.returncode == 0 and any(target.glob("kafka_*.jar")):
                return
        except subprocess.TimeoutExpired:
            output = f"no end after {_TIMEOUT_S} s"
        if attempt == _ATTEMPTS:
            # Maven prints the cause first, and then advice on how to run Maven.
            cause = next((line for line in output.splitlines() if "ERROR" in line), output.strip()[:500])
            raise Unavailable("Maven's repository", "the network", f"Kafka could not be fetched: {cause}")
