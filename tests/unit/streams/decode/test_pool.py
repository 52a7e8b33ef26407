"""The decode pool with real processes: what goes in comes out in order, and what an image does to its process."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import psutil
import pytest

from schemas.errors import BadFrame, DecoderDied, Stalled
from streams.decode.pool import DecodePool
from streams.decode.process import KEPT_BYTES
from tests.support.thread_pool import ThreadPool

PATIENCE_S = 60.0
Pool = DecodePool[bytes, bytes] | ThreadPool[bytes, bytes]


def work(image: bytes) -> bytes:
    """Doubles it; some images do harm."""
    if image == b"bad":
        raise BadFrame("truncated", "half a JPEG")
    if image == b"abort":
        os.abort()
    if image == b"hang":
        time.sleep(1_000)
    if image.startswith(b"once "):  # only the first time
        marker = Path(image.removeprefix(b"once ").decode())
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return image + image


def refuses() -> None:
    sys.exit(3)


class Unloadable:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return refuses, ()

    def __call__(self, image: bytes) -> bytes:
        return image


@pytest.fixture
def no_process_left() -> Iterator[None]:
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def processes(processes: int = 2, timeout_s: float = PATIENCE_S) -> DecodePool[bytes, bytes]:
    return DecodePool(processes, work, timeout_s)


@pytest.fixture(params=["processes", "threads"])
def make(request: pytest.FixtureRequest, no_process_left: None) -> Callable[[], Pool]:
    return processes if request.param == "processes" else lambda: ThreadPool(work)


async def run(pool: Pool, window: list[bytes]) -> list[bytes | Exception]:
    """The results of the images, each of a source of its own, those that take long included."""
    results = await pool.run(window, window)
    return [await one if isinstance(one, asyncio.Future) else cast(bytes | Exception, one) for one in results]


async def ran(pool: Pool, *windows: list[bytes]) -> list[list[bytes | Exception]]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.gather(*(run(pool, window) for window in windows))
    finally:
        pool.close()


async def test_results_stand_where_their_images_stood(make: Callable[[], Pool]) -> None:
    windows = [[b"%d/%d" % (window, index) for index in range(window)] for window in range(30)]
    results = await ran(make(), *windows)
    assert results == [[image + image for image in window] for window in windows]


async def test_an_exception_is_the_result_of_its_image_alone(make: Callable[[], Pool]) -> None:
    [[first, bad, last]] = await ran(make(), [b"a", b"bad", b"b"])
    assert (first, last) == (b"aa", b"bb")
    assert isinstance(bad, BadFrame)
    assert (bad.reason, bad.detail, str(bad)) == ("truncated", "half a JPEG", "truncated: half a JPEG")


async def test_large_images_pass_and_their_memory_is_given_back(no_process_left: None) -> None:
    pool = processes(1)
    image = bytes(KEPT_BYTES)
    assert await run(pool, [image, image]) == [image + image] * 2
    assert [os.fstat(file).st_size for file in pool._processes[0]._files] == [0, 0]
    pool.close()


async def test_an_image_that_crashes_its_process_is_found_out_and_the_others_are_not_hurt(
    no_process_left: None,
) -> None:
    images = [b"%d" % index for index in range(20)]
    images[5] = b"abort"
    [results, others] = await ran(processes(), images, [b"x"] * 20)
    died = results.pop(5)
    assert isinstance(died, DecoderDied)
    assert "SIGABRT" in str(died)
    assert results == [image + image for image in images if image != b"abort"]
    assert others == [b"xx"] * 20


async def test_an_image_that_hangs_ends_with_its_time(no_process_left: None) -> None:
    [[first, hung, last]] = await ran(processes(timeout_s=1.0), [b"a", b"hang", b"b"])
    assert (first, last) == (b"aa", b"bb")
    assert isinstance(hung, DecoderDied)
    assert "longer than 1 s" in str(hung)


async def test_a_process_that_was_killed_from_outside_costs_no_image(no_process_left: None, tmp_path: Path) -> None:
    images = [b"a", b"once %s" % bytes(tmp_path / "killed"), b"b"]
    [results] = await ran(processes(1), images)
    assert results == [image + image for image in images]


async def test_a_process_that_dies_idle_is_replaced(no_process_left: None) -> None:
    pool = processes(1)
    await run(pool, [b"a"])
    psutil.Process().children()[
        0
    ].kill()  # one of two: an image that two dead ones were given is tried by the stage later
    assert await ran(pool, [b"b"]) == [[b"bb"]]


async def test_processes_that_cannot_start_are_one_error(no_process_left: None) -> None:
    pool: DecodePool[bytes, bytes] = DecodePool(2, Unloadable(), PATIENCE_S)
    with pytest.raises(Stalled, match="do not start: the last one exited with 3"):
        await ran(pool, [b"a"])


@pytest.mark.parametrize("harm", [b"abort", b"hang"])
async def test_where_the_system_gives_no_more_processes_whoever_waits_is_told(
    harm: bytes, no_process_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = processes(timeout_s=1.0)
    await run(pool, [b"a", b"b"])
    monkeypatch.setattr(subprocess, "Popen", Mock(side_effect=BlockingIOError(errno.EAGAIN, "no more processes")))
    with pytest.raises(Stalled, match=r"cannot be started: .*no more processes"):
        await ran(pool, [harm])
    with pytest.raises(Stalled):
        await run(pool, [b"c"])


async def test_processes_end_with_whoever_started_them(no_process_left: None) -> None:
    program = (
        "import asyncio, os, signal\n"
        "from streams.decode.pool import DecodePool\n"
        "async def main():\n"
        "    pool = DecodePool(2, bytes.upper, 60)\n"
        "    await pool.run([b'a', b'b'], 'ab')\n"
        "    print(*(process._process.pid for process in pool._processes), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(child.communicate(), PATIENCE_S)
    pids = [int(pid) for pid in out.split()]
    assert len(pids) == 3
    until_s = time.monotonic() + PATIENCE_S
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < until_s
        await asyncio.sleep(0.05)


async def test_a_process_that_is_killed_as_it_starts_is_started_again(no_process_left: None) -> None:
    pool = processes(2)
    running = asyncio.ensure_future(ran(pool, [b"a"], [b"b"]))
    for _ in range(3):
        psutil.Process().children()[0].kill()
        await asyncio.sleep(0.05)
    assert await running == [[b"aa"], [b"bb"]]
