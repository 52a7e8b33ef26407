"""The upload gateway against the least that takes uploads, both on one core, measured in turn in one run."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

from infra.process.ports import find_ports
from infra.process.supervise import ready_child
from schemas.errors import SightlineError
from streams.bench import sample_frames
from streams.bench.measure import median_ratio, rates_in_turn
from streams.bench.report import Options, Report
from streams.bench.testbed import READY_TIMEOUT_S, STOP_TIMEOUT_S, Testbed, testbed

CONNECTIONS = 16
CORE = 0
GOAL = 0.7
START_S = 30.0


def bench_gateway(options: Options) -> Report:
    """Uploads a second of `sightline gateway`, with a key, checks and quotas, and of an endpoint with none of them."""
    report = Report("gateway")
    jpegs = sample_frames.jpegs()
    own_port, bare_port = find_ports(2)
    cpu_ms: dict[str, list[float]] = {"gateway": [], "bare": []}
    # Nothing reads the uploads here, and a backlog must not stop them.
    limits = {"SIGHTLINE_GATEWAY__MAX_BACKLOG_FRAMES": str(10**9)}
    with tempfile.TemporaryDirectory() as state, testbed(SIGHTLINE_GATEWAY__STATE=state, **limits) as bed:
        token = _new_key(bed)
        with _own(bed, own_port) as own_pid, _bare(bed, bare_port) as bare_pid:

            def measure(name: str, port: int, pid: int, number: int) -> float:
                bodies = [
                    sample_frames.unique(jpegs[at % len(jpegs)], at + number * 10**6) for at in range(options.frames)
                ]
                process = psutil.Process(pid)
                before = process.cpu_times()
                started_s = time.perf_counter()
                asyncio.run(_upload_all(port, token, bodies))
                elapsed_s = time.perf_counter() - started_s
                after = process.cpu_times()
                used_s = after.user + after.system - before.user - before.system
                cpu_ms[name].append(round(used_s * 1000 / options.frames, 2))
                return options.frames / elapsed_s

            measure("gateway", own_port, own_pid, 98)  # not measured: it warms up both and the broker
            measure("bare", bare_port, bare_pid, 99)
            pairs = rates_in_turn(
                options.repeats,
                lambda number: measure("gateway", own_port, own_pid, number),
                lambda number: measure("bare", bare_port, bare_pid, number),
            )
    report.ratio("gateway_over_minimal_endpoint", median_ratio(pairs), ">=", GOAL)
    report.figures = {
        "uploads_per_s": [round(ours) for ours, _ in pairs],
        "minimal_uploads_per_s": [round(bare) for _, bare in pairs],
        "cpu_ms_per_upload": cpu_ms["gateway"][1:],
        "minimal_cpu_ms_per_upload": cpu_ms["bare"][1:],
        "mean_jpeg_bytes": sum(map(len, jpegs)) // len(jpegs),
    }
    return report


def _new_key(bed: Testbed) -> str:
    words = [sys.executable, "-m", "infra.cli", "gateway", "key", "add", "bench", "--rate", "1000000", "--json"]
    done = subprocess.run(words, env={**os.environ, **bed.variables}, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["key"])


@contextmanager
def _own(bed: Testbed, port: int) -> Iterator[int]:
    words = ("gateway", "--port", str(port))
    child = ready_child(words, bed.logs / "gateway.log", bed.variables, READY_TIMEOUT_S, STOP_TIMEOUT_S)
    with ExitStack() as closing:
        with _one_core():
            pid = closing.enter_context(child).pid
        yield pid


@contextmanager
def _bare(bed: Testbed, port: int) -> Iterator[int]:
    words = [sys.executable, "-m", "streams.bench.bare_gateway", str(port), bed.topics.frames]
    with _one_core():
        process = subprocess.Popen(words, env={**os.environ, **bed.variables})
    try:
        asyncio.run(_wait_open(port, process))
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


@contextmanager
def _one_core() -> Iterator[None]:
    """A process that is started in the block stays on one core; the broker and this process have the others too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORE if CORE in before else min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _wait_open(port: int, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until_s:
                raise SightlineError("the minimal endpoint does not start") from None
            await asyncio.sleep(0.1)


async def _upload_all(port: int, token: str, bodies: list[bytes]) -> None:
    """Every body once, over connections that stay open. Raises SightlineError for an answer that is not 202."""
    left = iter(bodies)

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in left:
            head = (
                f"POST /v1/frames HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not answer.startswith(b"http/1.1 202"):
                raise SightlineError(f"an upload was answered {answer[:40]!r}")
            await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r\n")[0]))
        writer.close()

    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
