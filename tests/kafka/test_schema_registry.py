"""The codec against a real schema registry: Apicurio's Confluent-compatible API."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from schemas import codec, records
from schemas.errors import BadFrame, Unavailable
from schemas.registry_client import HttpRegistry
from tests.support.services import JARS_HOME

ARTIFACT = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all"
JARS = JARS_HOME.path / "apicurio"
Connect = Callable[[], HttpRegistry]
FRAME = records.Frame("a/1/2", "a", records.SourceKind.CAMERA, 1, 2, 3, 4, records.Encoding.JPEG, b"\xff\xd8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch_jars() -> Path:
    with JARS_HOME.lock():
        if not JARS.is_dir():
            with tempfile.TemporaryDirectory(dir=JARS_HOME.path) as scratch:
                partial = Path(scratch) / "apicurio"
                goal = ["dependency:unpack", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={partial}"]
                # Maven notes in its folder what it has unpacked, and skips it the next time.
                subprocess.run(["mvn", "-q", "-B", *goal], check=True, cwd=scratch)
                partial.rename(JARS)
    return next(JARS.glob("*-runner.jar"))


@pytest.fixture(scope="module")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("mvn") is None:
        pytest.skip("needs Maven")
    runner, port = fetch_jars(), free_port()
    log = tmp_path_factory.mktemp("apicurio") / "log"
    flags = ["-Xmx256m", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}"]
    with log.open("w") as out:
        # The runner's manifest names its libraries relative to itself; `-cp` alone would not find them.
        process = subprocess.Popen(["java", *flags, "-jar", str(runner)], stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        wait_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            if httpx2.get(f"{url}/subjects", timeout=1).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.25)
    raise AssertionError(f"the registry is not ready after 60 s: {log.read_text()[-2000:]}")


@pytest.fixture
def connect(registry_url: str) -> Iterator[Callable[[], HttpRegistry]]:
    opened: list[HttpRegistry] = []

    def open_one() -> HttpRegistry:
        opened.append(HttpRegistry(registry_url))
        return opened[-1]

    yield open_one
    for registry in opened:
        registry.close()


def test_a_record_travels_in_confluents_wire_format(registry_url: str, connect: Connect) -> None:
    writer, reader = connect(), connect()
    data = codec.encode(FRAME, writer, "frames.raw")
    assert data[:1] == b"\x00"
    assert codec.decode(records.Frame, data, reader) == FRAME
    assert codec.decode(records.Frame, codec.encode(FRAME), reader) == FRAME, "readers accept both framings"

    subjects = httpx2.get(f"{registry_url}/subjects").json()
    assert subjects == ["frames.raw-value"]
    config = httpx2.get(f"{registry_url}/config/frames.raw-value").json()
    assert config == {"compatibilityLevel": "BACKWARD_TRANSITIVE"}


def test_a_newer_writer_with_one_more_field_is_read(registry_url: str, connect: Connect) -> None:
    newer = codec.schema_of(records.Frame)
    newer["fields"].append({"name": "exposure_us", "type": "long", "default": 7})
    registry = connect()
    codec.encode(FRAME, registry, "frames.newer")
    answer = httpx2.post(
        f"{registry_url}/subjects/frames.newer-value/versions",
        json={"schema": json.dumps(newer)},
    )
    answer.raise_for_status()
    from_old_schema = codec.encode(FRAME)[10:]
    written = b"\x00" + int(answer.json()["id"]).to_bytes(4, "big") + from_old_schema + b"\x0e"
    assert codec.decode(records.Frame, written, registry) == FRAME


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("JSON", '{"type": "object", "properties": {}}'),
        ("PROTOBUF", 'syntax = "proto3"; message Frame { int32 a = 1; }'),
    ],
)
def test_an_id_of_another_kind_of_schema_is_a_bad_frame(
    registry_url: str, connect: Connect, kind: str, schema: str
) -> None:
    subject = f"{registry_url}/subjects/other-{kind}/versions"
    answer = httpx2.post(subject, json={"schema": schema, "schemaType": kind}, timeout=20)
    answer.raise_for_status()
    written = b"\x00" + int(answer.json()["id"]).to_bytes(4, "big") + b"ftypheic"
    with pytest.raises(BadFrame, match="schema_unknown"):
        codec.decode(records.Frame, written, connect())


def test_an_unknown_id_is_a_bad_frame_and_no_registry_is_unavailable(connect: Connect) -> None:
    with pytest.raises(BadFrame, match="schema_unknown"):
        codec.decode(records.Frame, b"\x00\x7f\xff\xff\xffx", connect())
    with pytest.raises(BadFrame, match="schema_unknown"):
        codec.decode(records.Frame, b"\x00\xff\xff\xff\xffx", connect())
    nobody = HttpRegistry(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="SIGHTLINE_SCHEMA_REGISTRY_URL"):
        codec.encode(FRAME, nobody, "t")
    nobody.close()
