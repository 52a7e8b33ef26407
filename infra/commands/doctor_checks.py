"""The checks of the machine and the installation that `sightline doctor` makes; each yields its findings."""

import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import psutil

from infra.local.jars import INSTALL_JAVA, INSTALL_MAVEN
from infra.process.children import ROOT
from infra.settings import home

GIB = 1024**3
TOOL_TIMEOUT_S = 60.0
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check: `mend` is the one thing to do about it, empty when nothing needs to be done."""

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    fit = sys.version_info >= (3, 11)
    yield Finding(
        "python", "ok" if fit else "fail", found, "" if fit else "apt-get install -y python3.11 python3.11-venv"
    )


def java() -> Iterator[Finding]:
    """A missing Java is a warning and not a failure: only the local Kafka needs it."""
    mend = f"{INSTALL_JAVA} (only the local Kafka needs it)"
    said = _first_line("java", "-version")
    version = java_version(said)
    if version is None:
        yield Finding("java", "warn", said or "not installed", mend)
    else:
        yield Finding("java", "ok" if version >= 17 else "warn", said, "" if version >= 17 else mend)


def maven() -> Iterator[Finding]:
    said = _first_line("mvn", "--version")
    mend = f"{INSTALL_MAVEN} (only the first `sightline up` needs it)"
    yield Finding("maven", "ok", said) if said else Finding("maven", "warn", "not installed", mend)


def packages() -> Iterator[Finding]:
    """Compares the installed versions with requirements.lock, which holds the versions that were tested."""
    lock = ROOT / "requirements.lock"
    if not lock.is_file():
        yield Finding("packages", "warn", "there is no requirements.lock beside the code", "run from a checkout")
        return
    wrong = [
        f"{name} {found or 'is missing'} (locked: {version})"
        for name, version in locked_versions(lock.read_text()).items()
        if (found := _installed(name)) != version
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        yield Finding("packages", "warn", ", ".join(wrong[:3]) + more, "make venv")
    else:
        yield Finding("packages", "ok", "the versions of requirements.lock; our six packages come from this tree")


def model_runtimes() -> Iterator[Finding]:
    """Which runtimes can run the model here. Imports torch and OpenVINO, which takes seconds."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        yield Finding("torch", "fail", str(error), "make venv")
    else:
        if torch.cuda.is_available():
            yield Finding("torch", "ok", f"{torch.__version__}, CUDA on {torch.cuda.get_device_name(0)}")
        else:
            yield Finding("torch", "ok", f"{torch.__version__}, no CUDA device: the model runs on the CPU")
    try:
        openvino = importlib.import_module("openvino")
        devices = ", ".join(openvino.Core().available_devices)
    except (ImportError, OSError, RuntimeError) as error:
        yield Finding("openvino", "warn", str(error), "make venv (without it the CPU runs the model slower)")
    else:
        yield Finding("openvino", "ok", f"{openvino.__version__.split('-')[0]}, devices: {devices}")


def disk() -> Iterator[Finding]:
    folder = next(parent for parent in [home(), *home().parents] if parent.exists())
    free_gib = shutil.disk_usage(folder).free / GIB
    mend = f"free some space on the disk of {folder}, or set SIGHTLINE_HOME to another one"
    yield _amount("disk", free_gib, 10.0, 1.0, f"free for {home()}", mend)


def memory() -> Iterator[Finding]:
    available_gib = psutil.virtual_memory().available / GIB
    yield _amount(
        "memory", available_gib, 3.0, 1.0, "available", "stop other programs: everything on one machine takes 3 GiB"
    )


def java_version(said: str) -> int | None:
    """17 from `openjdk version "17.0.15" 2025-04-15`, 8 from `java version "1.8.0_402"`."""
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else None


def locked_versions(text: str) -> dict[str, str]:
    """`{"numpy": "2.3.1", ...}` of a lock file; lines with a marker for other machines are left out."""
    return {name: version for name, version in _PINNED.findall(text) if not _has_marker(text, name)}


def _has_marker(text: str, name: str) -> bool:
    return re.search(rf"^{re.escape(name)}==[^\n]*;", text, re.MULTILINE) is not None


def _amount(subject: str, gib: float, enough: float, least: float, what: str, mend: str) -> Finding:
    found = f"{gib:.1f} GiB {what}"
    if gib >= enough:
        return Finding(subject, "ok", found)
    return Finding(subject, "warn" if gib >= least else "fail", found, mend)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(*command: str) -> str:
    """The first line that the command prints, on either stream; empty when it is not installed or does not end."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return ""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).strip().splitlines()
    # Java prints first which options it took from the environment.
    return next((line for line in lines if not line.startswith("Picked up ")), "")
