"""How a camera is reached: nothing of the environment reaches it unasked, and what cannot work is known before."""

import ssl
from pathlib import Path

import pytest

from ingest.camera.spec import camera_spec, load_cameras
from ingest.sources.connection import (
    Connection,
    ConnectionFault,
    PinnedContext,
    bundle_of,
    credentials,
    proxy_of,
    tls_context,
    with_credentials,
    without_credentials,
)
from schemas.errors import ConfigError
from tests.support.cameras import SETTINGS, spec_of

PROXIED = Connection(use_proxy=True)
PROXY = {"http_proxy": "http://proxy:3128", "HTTPS_PROXY": "proxy:3129"}


@pytest.mark.parametrize(
    ("address", "no_proxy", "proxy"),
    [
        ("http://cam/snap.jpg", "", "http://proxy:3128"),
        ("https://cam/snap.jpg", "", "http://proxy:3129"),
        ("http://cam/snap.jpg", "*", ""),
        ("http://cam/snap.jpg", "other, cam", ""),
        ("http://cam/snap.jpg", "other cam", ""),
        ("http://cam/snap.jpg", ",,", "http://proxy:3128"),
        ("http://CAM.shop.example/", ".shop.example", ""),
        ("http://cam.shop.example/", "shop.example", ""),
        ("http://cam.shop.example/", "*.shop.example", ""),
        ("http://myshop.example/", "shop.example", "http://proxy:3128"),
        ("http://cam:81/", "cam:81", ""),
        ("http://cam:82/", "cam:81", "http://proxy:3128"),
        ("https://cam/", "cam:443", ""),
        ("http://10.1.2.3/", "10.0.0.0/8", ""),
        ("http://11.1.2.3/", "10.0.0.0/8", "http://proxy:3128"),
        ("http://10.1.2.3:80/", "10.1.2.3:80", ""),
        ("http://[::1]:8080/", "::1", ""),
        ("http://[::1]:8080/", "[::1]", ""),
        ("http://[::1]:8080/", "[::1]:8080", ""),
        ("http://[fd00::7]/", "fd00::/8", ""),
        ("http://cam/", "[::1]:8080,10.0.0.0/99,::::", "http://proxy:3128"),
    ],
)
def test_the_proxy_of_the_environment_applies_where_it_is_asked_for(address: str, no_proxy: str, proxy: str) -> None:
    environ = {**PROXY, "NO_PROXY": no_proxy}
    assert proxy_of(address, PROXIED, environ) == proxy
    assert not proxy_of(address, Connection(), environ)


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "http://", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_is_told_before_anything_starts(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"source http://cam/ cannot be used: the proxy"):
        camera_spec({"source": "http://cam/", "use_proxy": True}, SETTINGS, {"http_proxy": value})
    assert not camera_spec({"source": "http://cam/"}, SETTINGS, {"http_proxy": value}).connection.use_proxy


def test_verification_is_on_unless_it_is_switched_off() -> None:
    on, off = tls_context(Connection(), {}), tls_context(Connection(tls_verify=False), {})
    assert (on.verify_mode, on.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (off.verify_mode, off.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("connection", "environ", "name"),
    [
        (Connection(ca_file="/no/such.pem"), {}, "ca_file names /no/such.pem"),
        (Connection(), {"SSL_CERT_FILE": "/no/such.pem"}, "SSL_CERT_FILE names /no/such.pem"),
        (Connection(), {"SSL_CERT_DIR": "/no/such"}, "SSL_CERT_DIR names /no/such"),
    ],
)
def test_certificates_that_are_missing_are_named(connection: Connection, environ: dict[str, str], name: str) -> None:
    with pytest.raises(ConnectionFault, match=name):
        tls_context(connection, environ)
    if environ:  # of no matter to a camera with certificates of its own, or none
        assert tls_context(Connection(tls_verify=False), environ)


def test_a_file_that_has_no_certificate_in_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConnectionFault, match="no certificate in it"):
        tls_context(Connection(ca_file=str(tmp_path / "empty.pem")), {})


def test_a_folder_is_no_file_of_certificates_and_a_file_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    file.write_text(_a_bundle().read_text())
    for connection, environ, words in (
        (Connection(ca_file=str(tmp_path)), {}, f"ca_file names {tmp_path}, which is no file"),
        (Connection(), {"SSL_CERT_FILE": str(tmp_path)}, f"SSL_CERT_FILE names {tmp_path}, which is no file"),
        (Connection(), {"SSL_CERT_DIR": str(file)}, f"SSL_CERT_DIR names {file}, which is no folder"),
    ):
        with pytest.raises(ConnectionFault, match=words):
            tls_context(connection, environ)
    for environ in ({"SSL_CERT_DIR": f"/no/such:{tmp_path}"}, {"SSL_CERT_FILE": str(file)}):
        assert tls_context(Connection(), environ)


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_a_folder_as_ca_file_is_one_sentence_at_the_start(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(f"{scheme}://cam/1", ca_file=str(tmp_path))
    [fault] = caught.value.faults
    assert fault == f"source {scheme}://cam/1 cannot be used: ca_file names {tmp_path}, which is no file"


def test_certificates_that_are_to_be_pinned_and_cannot_be_read_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "latin.pem").write_bytes("# Zertifikat für\n".encode("latin-1") + _a_bundle().read_bytes())
    assert PinnedContext.of(str(tmp_path / "latin.pem"))
    for path in (tmp_path, tmp_path / "none.pem"):
        with pytest.raises(ConnectionFault, match="ca_file names"):
            PinnedContext.of(str(path))


def test_a_missing_file_of_certificates_is_one_fault_at_the_start_and_none_without_tls() -> None:
    environ = {"SSL_CERT_FILE": "/no/such.pem"}
    with pytest.raises(ConfigError) as caught:
        camera_spec({"source": "https://joe:geheim@cam/snap.jpg"}, SETTINGS, environ)
    [fault] = caught.value.faults
    assert (
        fault
        == "source https://cam/snap.jpg cannot be used: SSL_CERT_FILE names /no/such.pem, and there is no such file"
    )
    assert camera_spec({"source": "http://cam/snap.jpg"}, SETTINGS, environ)


def test_ffmpeg_is_given_one_file_of_certificates() -> None:
    assert bundle_of(Connection(ca_file="a.pem"), {"SSL_CERT_FILE": "b.pem"}) == "a.pem"
    assert bundle_of(Connection(), {"SSL_CERT_FILE": "b.pem"}) == "b.pem"


def test_credentials_apart_from_the_address() -> None:
    connection = Connection(user="joe:x", password="p@ss/w#rd")
    assert credentials("http://cam/a", connection) == ("joe:x", "p@ss/w#rd")
    assert credentials("http://ann:b%40c@cam/a", connection) == ("ann", "b@c")
    assert credentials("http://cam/a", Connection()) is None
    assert with_credentials("rtsp://cam:554/a?b=c", connection) == "rtsp://joe%3Ax:p%40ss%2Fw%23rd@cam:554/a?b=c"
    assert with_credentials("rtsp://ann@cam/a", connection) == "rtsp://ann@cam/a"
    assert without_credentials("http://ann:b@cam:81/a?x=y@z") == "http://cam:81/a?x=y@z"


def test_the_keys_of_a_camera_come_before_the_settings_for_all(tmp_path: Path) -> None:
    for name in ("own.pem", "all.pem"):
        (tmp_path / name).write_text((_a_bundle()).read_text())
    settings = SETTINGS.model_copy(update={"user": "all", "ca_file": str(tmp_path / "all.pem"), "tls_verify": False})
    file = tmp_path / "cameras.toml"
    file.write_text(
        '[[camera]]\nid = "own"\nsource = "https://a/1"\nuser = "joe"\npassword = "${PW}"\ntls_verify = true\n'
        'ca_file = "own.pem"\nuse_proxy = true\n'
        '[[camera]]\nid = "all"\nsource = "https://b/1"\n'
    )
    own, every = load_cameras(file, settings, {"PW": "geheim"})
    assert own.connection == Connection(True, str(tmp_path / "own.pem"), "joe", "geheim", True)
    assert every.connection == Connection(False, str(tmp_path / "all.pem"), "all", "", False)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tls_verify": "no"}, "tls_verify must be true or false"),
        ({"use_proxy": 1}, "use_proxy must be true or false"),
        ({"password": "${UNSET}", "user": "joe"}, "password uses UNSET"),
        ({"password": 5}, "password must be a text"),
        ({"source": "http://ann:geheim@cam/", "user": "joe"}, "give them once"),
    ],
)
def test_faults_of_a_connection_are_told_and_no_secret(keys: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec_of(**{"source": "http://cam/", **keys})  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "geheim" not in str(caught.value)


def _a_bundle() -> Path:
    return next(file for file in Path("/etc/ssl/certs").glob("*.pem"))
