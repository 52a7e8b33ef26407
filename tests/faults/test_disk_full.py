"""The disk of one broker is full: the broker stops, and the other replicas go on without it."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.cluster import cluster as new_cluster
from tests.faults.rig import rig as new_rig

FULL_BROKER = 2
DISK_MIB = 400


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A small file system in memory for one broker's log; needs the right to mount."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "sightline-faults", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a small file system (it takes root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(disk: Path) -> Path:
    """Fill the file system to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return filler


def test_disk_full(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    home = tmp_path_factory.mktemp("disk")
    with (
        small_disk(home / "disk") as disk,
        new_cluster(home / "home", random.Random(seed), {FULL_BROKER: disk / "data"}) as cluster,
        new_rig("no room under a broker's log for 10 s", cluster, seed) as rig,
    ):
        rig.start_stages()
        rig.send(rate_per_s=50)
        rig.wait(4.0)
        filler = fill(disk)
        rig.harm_is_over()
        rig.wait_flowing()
        rig.wait(10.0)
        assert cluster.kafka.pid(FULL_BROKER) is None, "a broker that cannot write must not stay"
        filler.unlink()
        cluster.start_broker(FULL_BROKER)
        cluster.wait_in_sync()
        rig.wait(2.0)
        rig.settle()
