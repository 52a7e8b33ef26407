"""No credential of a camera address may come out, however it is written."""

import base64
import json
import re
import string
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.camera.spec import camera_spec
from ingest.sources.parse import default_id
from ingest.sources.redact import HIDDEN, has_hidden_host, redact_address, redact_text, redact_url, secrets_of
from schemas.errors import ConfigError
from tests.support.cameras import SETTINGS

CASES = [
    ("rtsp://admin:pw123@10.0.0.7:554/s1", "rtsp://10.0.0.7:554/s1"),
    ("rtsp://admin@10.0.0.7/s1", "rtsp://10.0.0.7/s1"),
    ("rtsp://admin:p@ss@cam/s1", "rtsp://cam/s1"),
    ("rtsp://admin:pa/ss@cam/s1", "rtsp://cam/s1"),
    ("rtsp://admin:p%40ss@[fe80::1]:554/s1", "rtsp://[fe80::1]:554/s1"),
    (
        "rtsp://cam/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp",
        f"rtsp://cam/user={HIDDEN}_password={HIDDEN}_channel=1_stream=0.sdp",
    ),
    ("http://cam/snap.jpg?user=a&pwd=b&size=3", f"http://cam/snap.jpg?user={HIDDEN}&pwd={HIDDEN}&size=3"),
    ("http://cam/x?access_token=abc#t", f"http://cam/x?access_token={HIDDEN}"),
    ("http://cam/x?loginuse=admin&loginpas=s3cret", f"http://cam/x?loginuse={HIDDEN}&loginpas={HIDDEN}"),
    ("http://cam/x?token=abc/defsecret+x==", f"http://cam/x?token={HIDDEN}"),
    ("http://cam/x?size=3;psw=a?b/c&fps=2", f"http://cam/x?size=3;psw={HIDDEN}&fps=2"),
    ("http://cam/x?url=rtsp://dvr/?Password=abc", f"http://cam/x?url=rtsp://dvr/?Password={HIDDEN}"),
    ("http://cam/userToken=abc/x?size=3", f"http://cam/userToken={HIDDEN}/x?size=3"),
    ("rtsp://cam/user=a_password=b/c?d_channel=1", f"rtsp://cam/user={HIDDEN}_password={HIDDEN}_channel=1"),
    ("http://cam/at@home?size=3", "http://cam/at@home?size=3"),
    ("rtsp://j/e:word@cam/s1", "rtsp://cam/s1"),
    ("http:///joe:word@cam/s1", "http://cam/s1"),
    ("http://cam/api?src=rtsp://joe:pa/s@s@dvr/1&x=y", f"http://cam/api?src=rtsp://{HIDDEN}@dvr/1&x=y"),
    ("http://cam/api?src=rtsp%3A%2F%2Fjoe%3Apw%40dvr%2F1", f"http://cam/api?src=rtsp%3A%2F{HIDDEN}%40dvr%2F1"),
    ("rtsp://admin:123/45@cam/s1", "rtsp://cam/s1"),
    ("rtsp://cam:554/one@two", "rtsp://two"),  # could as well be a password 554/one
    ("sim:coffee", "sim:coffee"),
    ("/data/a:b@c.mp4", "/data/a:b@c.mp4"),
]


@pytest.mark.parametrize(("url", "shown"), CASES)
def test_addresses(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_url(shown) == shown


@given(
    user=st.text(string.ascii_letters, min_size=4, max_size=12),
    password=st.text(string.ascii_letters + string.digits + "@:/?#!$-_.~%", min_size=5, max_size=20),
)
def test_a_password_of_any_characters_never_comes_out(user: str, password: str) -> None:
    user, password = f"U{user}U", f"{password}Q"
    url = f"rtsp://{user}:{password}@camera.local:554/stream"
    assert redact_url(url) == "rtsp://camera.local:554/stream"
    line = f"[rtsp @ 0x55] error with {url} and again {password}: failed"
    hidden = redact_text(line, secrets_of(url))
    assert password not in hidden
    assert user not in hidden
    assert "failed" in hidden


@pytest.mark.parametrize("before", ["", "//", "rtsp:/", "rtsp:", "source=rtsp://", "'rtsp://", "RTSP ://", "x:rtsp://"])
@given(
    user=st.text(string.ascii_letters, min_size=4, max_size=12),
    password=st.text(string.ascii_letters + string.digits + "@:/?#!$-_.~%\"' ", min_size=5, max_size=20),
)
def test_a_password_never_comes_out_of_text_that_is_no_url(before: str, user: str, password: str) -> None:
    shown = redact_address(f"{before}U{user}U:{password}Q@camera.local:554/stream")
    assert shown.endswith("camera.local:554/stream")
    assert f"U{user}U" not in shown
    assert password[:3] not in shown.removesuffix("camera.local:554/stream").removeprefix(before)


PUNCTUATION = "@:/?#[]!$&'()*+,;=%-._~ \\\"<>^`{|}"
WORD = st.text(string.ascii_letters + PUNCTUATION + "ü成", max_size=8).map(lambda core: f"Geheim{core}Wort")
BEGINNINGS = [
    "rtsp://",
    "https://",
    "HTTP://",
    "",
    "//",
    "rtsp:/",
    "rtsp:",
    "file://",
    "usb:",
    "sim:",
    "sim:cat?",
    "ftp://",
]
BEGINNINGS += ["http:///", "'rtsp://", "www.", "http://cam/api?src=rtsp://"]


def spellings(word: str) -> list[str]:
    """How libraries print a word: plain, percent-encoded by several rules, quoted, in JSON, in lower case."""
    encoded = [quote(word, safe=""), quote(word), quote_plus(word), quote(word, safe=":@!$&'()*+,;=")]
    encoded += [re.sub("%..", lambda found: found.group().lower(), each) for each in encoded]
    return [word, *encoded, repr(word), json.dumps(word), json.dumps(word, ensure_ascii=False), word.lower()]


@pytest.mark.parametrize("begin", BEGINNINGS)
@given(
    user=st.sampled_from(["joe", "admin", "joe@site", "DOM\\joe", "joe doe", "", "j#e", "j/e", "j?e"]),
    word=WORD,
    host=st.sampled_from(["cam", "10.0.0.7", "10.0.0.7:554", "[fe80::1]:554", "cam:port", "", "..", "../x"]),
    path=st.sampled_from(["", "/", "/stream1", "/a?b=c", "/snap.jpg?user=x", "#t", "/a@b"]),
    after=st.sampled_from(["", "'", " "]),
)
def test_no_sentence_about_a_camera_has_its_password(
    begin: str, user: str, word: str, host: str, path: str, after: str
) -> None:
    source = f"{begin}{user}:{word}@{host}{path}{after}"
    try:
        spec = camera_spec({"source": source, "fps": 1}, SETTINGS, {})
    except ConfigError as error:
        told = [*error.faults, str(error)]
    else:
        secrets = secrets_of(spec.source.address)
        lines = [f"[rtsp @ 0x5] {each}: failed" for each in [*spellings(word), *spellings(source)]]
        basic = base64.b64encode(f"{unquote(user)}:{unquote(word)}".encode()).decode()
        told = [redact_text(line, secrets) for line in [*lines, f"Authorization: Basic {basic}"]]
        assert basic not in told[-1]
        told += [spec.source.shown, spec.source_id]
    assert not [text for text in told if "geheim" in text.lower()]


@pytest.mark.parametrize("address", ["joe:p@ss", "joe:12", "joe:pw", "joe", "joe:p@ss:12"])
@pytest.mark.parametrize("after", ["#34@cam", "?3:4@cam", "#3/4@cam:554/1", "/e:34@cam"])
def test_an_address_whose_password_hides_the_host_is_found(address: str, after: str) -> None:
    assert has_hidden_host(f"rtsp://{address}{after}")


@pytest.mark.parametrize(
    "url",
    [
        *("rtsp://cam:554/1", "rtsp://joe:12%2334@cam/1", "rtsp://joe:p@ss@cam/1", "http://cam/at@home"),
        *("http://10.0.0.7:80/@1", "http://joe:pw@[fe80::1]/@1", "http://cam:80/snap?mail=a@b", "http://cam?mail=a@b"),
    ],
)
def test_an_address_with_one_meaning_is_let_through(url: str) -> None:
    assert not has_hidden_host(url)


@pytest.mark.parametrize(
    "name",
    [
        *("user", "usr", "userPassword", "login", "loginuse", "loginpas", "pass", "passphrase", "pwd", "pw", "PSW"),
        *("token", "authToken", "apitoken", "api_key", "auth", "secret", "signature", "jwt", "sessionid", "cred"),
    ],
)
@given(value=st.text(string.ascii_letters + string.digits + "/?=+:.~%!#", min_size=1, max_size=20))
def test_whatever_a_maker_calls_its_password_no_part_of_it_comes_out(name: str, value: str) -> None:
    url = f"http://10.0.0.7/snap.cgi?size=3&{name}={value}Q&fps=2"
    shown = f"http://10.0.0.7/snap.cgi?size=3&{name}={HIDDEN}&fps=2"
    assert redact_url(url) == redact_url(shown) == shown
    assert f"{value}Q" in secrets_of(url) or len(value) < 2


def test_a_password_is_hidden_where_a_library_prints_it_alone() -> None:
    secrets = secrets_of("rtsp://joe:s3cr%40t@cam/x")
    assert redact_text("login joe with s3cr@t or s3cr%40t", secrets) == f"login joe with {HIDDEN} or {HIDDEN}"


@pytest.mark.parametrize(("url", "shown"), CASES)
def test_default_ids_have_no_secret(url: str, shown: str) -> None:
    from ingest.sources.parse import ReaderKind, SourceSpec

    source_id = default_id(SourceSpec(ReaderKind.STREAM, url, shown))
    for secret in ("pw123", "p@ss", "pa/ss", "tlJwpbo6", "abc"):
        assert secret not in source_id
