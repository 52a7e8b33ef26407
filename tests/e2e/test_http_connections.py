"""How HTTP cameras are reached, on real sockets: certificates, credentials, and proxies of the environment."""

import base64
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ingest.camera.session_end import FeedState
from ingest.camera.spec import CameraSpec, camera_spec
from ingest.sources.connection import Connection
from ingest.sources.readers.base import SourceFault
from ingest.sources.readers.http_client import CameraClient
from tests.e2e.test_capture import task_of
from tests.support.cameras import SETTINGS, spec_of
from tests.support.polled_cameras import FPS, PART, QUICK, good, says, streaming, url, watching
from tests.support.socket_camera import Request, socket_camera, whole
from tests.support.watched_feed import watched_feed

# Minutes in all: cameras are asked for seconds each.
pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=["own name", "other name"])
def certificate(tmp_path_factory: pytest.TempPathFactory, request: Any) -> tuple[Path, ssl.SSLContext]:
    """A certificate that the camera made itself, for 127.0.0.1 or for a name that it is not reached by."""
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=camera.example"]
    names += ["-addext", "subjectAltName=IP:127.0.0.1"] if request.param == "own name" else []
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names]
    subprocess.run([*command, "-keyout", folder / "key", "-out", folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key")
    return folder / "cert.pem", context


def https_answer(connection: socket.socket, request: Request) -> bool:
    return (streaming(PART) if request.path.endswith("/stream") else good)(connection, request)


@pytest.mark.parametrize("path", ["/snap.jpg", "/stream"])
def test_a_certificate_of_its_own_is_refused_with_the_settings_named(
    path: str, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    with watching(https_answer, path, tls=certificate[1]) as (camera, watched):
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        for word in ("self-signed certificate", "ca_file", "tls_verify = false", "SIGHTLINE_CAMERA__CA_FILE"):
            assert word in watched.feed.why
        assert not camera.requests


@pytest.mark.parametrize("path", ["/snap.jpg", "/stream"])
@pytest.mark.parametrize("by", ["ca_file", "tls_verify"])
def test_a_certificate_of_its_own_is_taken_where_a_setting_says_so(
    path: str, by: str, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    keys: dict[str, object] = {"ca_file": str(certificate[0])} if by == "ca_file" else {"tls_verify": False}
    with watching(https_answer, path, 5, SETTINGS, certificate[1], **keys) as (_, watched):
        watched.until(lambda: len(watched.captured) >= 3)


@pytest.mark.parametrize("path", ["/snap.jpg", "/stream"])
def test_credentials_apart_from_the_address_reach_the_camera_and_no_record(path: str) -> None:
    expected = "Basic " + base64.b64encode(b"joe:p@ss/w#rd").decode()
    refuse = says(whole(b"", "text/html", "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"'))

    def answer(connection: socket.socket, request: Request) -> bool:
        if request.headers.get("authorization") != expected:
            return refuse(connection, request)
        return https_answer(connection, request)

    with watching(answer, path, 5, SETTINGS, user="joe", password="p@ss/w#rd") as (camera, watched):
        watched.until(lambda: len(watched.captured) >= 3)
        assert watched.captured[0].uri == url(camera, path)


@pytest.mark.parametrize("path", ["/snap.jpg", "/stream"])
def test_proxies_of_the_environment_are_used_where_a_setting_says_so(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket_camera(https_answer) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "[::1]:8080,10.0.0.0/8")
        with socket_camera(https_answer) as camera, watched_feed(spec_of(url(camera, path))) as watched:
            watched.until(lambda: len(watched.captured) >= 3)
            assert not proxy.requests
        asked = spec_with_environment("http://camera.example/" + path[1:], {"http_proxy": f"http://{proxy.address}"})
        with watched_feed(asked) as watched:
            watched.until(lambda: len(watched.captured) >= 3)
            assert f"http://camera.example{path}" in {request.path for request in proxy.requests}


def test_a_file_of_certificates_that_is_missing_is_of_no_matter_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    with socket_camera(good) as camera, watched_feed(spec_of(url(camera))) as watched:
        watched.until(lambda: len(watched.captured) >= 3)


def test_a_certificate_for_another_name_must_itself_be_in_the_file(tmp_path: Path) -> None:
    """What a CA of the file signed for another name is not taken: any other device of that CA could answer."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-days", "30", "-subj", "/CN=maker", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *new, "-subj", "/CN=other.example", "-keyout", "key", "-out", "request")
    openssl("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "30", "-out", "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key")
    with watching(good, "/snap.jpg", 5, SETTINGS, context, ca_file=str(tmp_path / "ca.pem")) as (camera, watched):
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        assert "it is for another name" in watched.feed.why
        assert not camera.requests
    with watching(good, "/snap.jpg", 5, SETTINGS, context, ca_file=str(tmp_path / "cert.pem")) as (camera, watched):
        watched.until(lambda: len(watched.captured) >= 3)


def test_a_file_of_certificates_that_goes_away_later_is_a_sentence(
    tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    kept = tmp_path / "ca.pem"
    kept.write_bytes(certificate[0].read_bytes())
    spec = spec_of("https://127.0.0.1:9/snap.jpg", ca_file=str(kept))
    kept.unlink()
    with watched_feed(spec) as watched:
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        assert watched.feed.why == f"its connection cannot be used: ca_file names {kept}, and there is no such file"


def test_a_file_of_pinned_certificates_that_goes_away_before_it_is_needed_is_a_sentence(
    tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    """Only a certificate for another name is looked up in the file itself, after it was verified."""
    kept = tmp_path / "ca.pem"
    kept.write_bytes(certificate[0].read_bytes())
    with socket_camera(good, certificate[1]) as camera:
        client = CameraClient(task_of(url(camera), connection=Connection(ca_file=str(kept))))
        kept.unlink()
        try:
            client.ask().close()
            assert "127.0.0.1" in certificate_names(certificate[0])
        except SourceFault as fault:
            assert str(fault).startswith(f"its connection cannot be used: ca_file names {kept}")
        finally:
            client.close()


def certificate_names(file: Path) -> str:
    command = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(file)]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode()


def spec_with_environment(source: str, environ: dict[str, str]) -> CameraSpec:
    return camera_spec({"id": "cam", "source": source, "fps": 5, "use_proxy": True}, SETTINGS, environ)


def test_a_wrong_password_is_tried_a_few_times_and_not_without_end() -> None:
    refuse = says(whole(b"", "text/html", "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"'))
    with socket_camera(refuse) as camera:
        spec = spec_of(url(camera), FPS, user="joe", password="geheim")
        with watched_feed(spec, QUICK.model_copy(update={"backoff_initial_ms": 60_000})) as watched:
            watched.until(lambda: watched.feed.state == FeedState.DOWN)
            assert watched.feed.why.startswith(
                "it answers HTTP 401 Unauthorized; its user name or password is refused: set user"
            )
            assert len([one for one in camera.requests if "authorization" in one.headers]) == 3
