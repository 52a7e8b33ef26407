"""The upload gateway as people use it: curl, `sightline upload` and a browser, with the whole pipeline behind it."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from infra.local.state import read_state
from infra.process.ports import find_ports
from tests.support.browser import FLAGS, HostRecorder, chromium
from tests.support.deployment import Deployment
from tests.support.gateways import add_key, running_gateway
from tests.support.runner import Runner
from tests.support.sink_records import a_jpeg

pytestmark = [pytest.mark.kafka, pytest.mark.system]


def curl(*words: str) -> tuple[int, str]:
    """The status and the body of the answer."""
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_uploads_a_photo_and_gets_its_label(deployment: Deployment, sightline: Runner, tmp_path: Path) -> None:
    home = {"SIGHTLINE_GATEWAY__STATE": str(tmp_path / "state")}
    made = sightline.run("gateway", "key", "add", "shop", "--rate", "20", "--json", env=home)
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["key"]
    assert token.encode() not in (tmp_path / "state" / "state.sqlite").read_bytes(), "hashed at rest"
    port = find_ports(1)[0]
    gateway = sightline.start("gateway", "--port", str(port), env=home)
    sightline.start("stream", "--model", "null", "--no-cache")
    sightline.start("infer", "--model", "null", "--no-cache")
    url, auth = f"http://127.0.0.1:{port}", ("-H", f"Authorization: Bearer {token}")
    photo, text, large = tmp_path / "photo.jpg", tmp_path / "photo2.jpg", tmp_path / "large.jpg"
    photo.write_bytes(a_jpeg())
    text.write_text("this is no picture")
    large.write_bytes(a_jpeg() + bytes(50_000_000))

    status, body = curl(*auth, "-F", f"file=@{photo}", f"{url}/v1/frames")
    assert status == 202, body
    frame = json.loads(body)["frames"][0]
    status, body = curl(*auth, f"{url}{frame['label']}?wait=30")
    assert status == 200, body
    assert json.loads(body)["frame_id"] == frame["frame_id"]

    wrong = curl("-H", "Authorization: Bearer slk_no", "--data-binary", f"@{photo}", f"{url}/v1/frames")
    refused = {
        "wrong key": wrong[0],
        "50 MB": curl(*auth, "--data-binary", f"@{large}", f"{url}/v1/frames")[0],
        "50 MB in chunks": curl(
            *auth, "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{large}", f"{url}/v1/frames"
        )[0],
        "text": curl(*auth, "-F", f"file=@{text};type=image/jpeg", f"{url}/v1/frames")[0],
    }
    assert refused == {"wrong key": 401, "50 MB": 413, "50 MB in chunks": 413, "text": 415}
    flood = [curl(*auth, *(["-F", f"file=@{photo}"] * 15), f"{url}/v1/frames")[0] for _ in range(6)]
    assert 429 in flood

    # Many files at once, stopped and begun again; the rate of the key is honoured.
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.jpg").write_bytes(a_jpeg((number * 8, 1, 2)))
    (folder / "broken.jpg").write_bytes(b"not a picture")
    variables = {"SIGHTLINE_UPLOAD_KEY": token, "SIGHTLINE_HOME": str(tmp_path)}
    done = sightline.run("upload", str(folder), "--url", url, "--label", "--json", env=variables)
    *lines, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, summary["uploaded"], summary["labelled"], summary["left"]) == (1, 30, 30, 0), done.stderr
    assert [line["path"] for line in lines if line["error"]] == [str(folder / "broken.jpg")]
    (folder / "broken.jpg").unlink()
    again = sightline.run("upload", str(folder), "--url", url, "--json", env=variables)
    assert (again.returncode, json.loads(again.stdout.splitlines()[-1])["before"]) == (0, 30), again.stderr

    assert sightline.run("audit", "--from", "-10m", "--to", "now").returncode == 0
    assert sightline.run("gateway", "key", "remove", "shop", env=home).returncode == 0
    time.sleep(1.5)
    assert curl(*auth, "--data-binary", f"@{photo}", f"{url}/v1/frames")[0] == 401
    assert gateway.stop() == 0


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed (apt-get install chromium)")
def test_the_documentation_opens_without_another_host(deployment: Deployment, tmp_path: Path) -> None:
    recorders = [HostRecorder(), HostRecorder()]
    empty = tmp_path / "empty.html"
    empty.write_text('<!doctype html><link rel="icon" href="data:,"><p>nothing</p>')
    outputs = []
    with running_gateway(deployment, tmp_path / "state") as gateway:
        for recorder, page in zip(recorders, (empty.as_uri(), f"{gateway.url}/docs"), strict=True):
            proxy = (f"--proxy-server=127.0.0.1:{recorder.port}", "--proxy-bypass-list=127.0.0.1")
            profile = f"--user-data-dir={tmp_path / str(recorder.port)}"
            words = [str(chromium()), *FLAGS, profile, *proxy, "--enable-logging=stderr", "--dump-dom", page]
            outputs.append(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True))
            recorder.close()
    assert recorders[1].hosts - recorders[0].hosts == set()
    assert "/v1/labels/" in outputs[1].stdout
    assert "CONSOLE" not in outputs[1].stderr, "no error in the console"


def test_uploads_are_refused_while_kafka_is_away_and_taken_afterwards(deployment: Deployment, tmp_path: Path) -> None:
    state = read_state(deployment.services.home)
    if deployment.services.kafka is None or state is None:
        pytest.skip("the broker is not this test's to stop")
    broker = state.brokers[0].process
    assert broker is not None
    token, _ = add_key(tmp_path)
    with running_gateway(deployment, tmp_path, ack_timeout_ms=1_000) as gateway, gateway.client(token) as client:
        assert client.post("/v1/frames", content=a_jpeg()).status_code == 202
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            away = client.post("/v1/frames", content=a_jpeg())
            assert (away.status_code, away.json()["code"]) == (503, "kafka_away")
            assert int(away.headers["retry-after"]) >= 1
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        until_s = time.monotonic() + 20
        while client.post("/v1/frames", content=a_jpeg()).status_code != 202:
            assert time.monotonic() < until_s
            time.sleep(0.5)


def test_an_upload_under_way_is_answered_when_the_gateway_is_stopped(
    deployment: Deployment, sightline: Runner, tmp_path: Path
) -> None:
    token, _ = add_key(tmp_path)
    port = find_ports(1)[0]
    gateway = sightline.start("gateway", "--port", str(port), env={"SIGHTLINE_GATEWAY__STATE": str(tmp_path)})
    answers: list[int] = []

    def slow() -> None:
        """A body that takes two seconds."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        jpeg = a_jpeg()
        connection.putrequest("POST", "/v1/frames")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", str(len(jpeg)))
        connection.endheaders(jpeg[:100])
        time.sleep(2.0)
        connection.send(jpeg[100:])
        with connection.getresponse() as response:
            answers.append(response.status)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.7)
    assert gateway.stop() == 0
    thread.join()
    assert answers == [202]
