"""The gateway's rules without a server: what a picture is, who owns what, how much is allowed, what is kept."""

import io
import struct

import pytest
from PIL import Image

from inference.image.probe import sniff as stage_sniff
from infra.lag.rules.bottleneck import Bottleneck
from infra.net.policy import GlobalAddresses
from ingest.gateway.keys import Key, check_name, check_scopes, digest_of, new_token, owner_of
from ingest.gateway.limits import Quotas, Room
from ingest.gateway.pictures import check_pixels, declared_size, sniff
from ingest.gateway.pressure import refusal
from ingest.gateway.problems import Problem
from ingest.gateway.ring import Outcome, OutcomeRing
from ingest.gateway.webhooks import check_target, read_retry, retry_record, webhook_of
from schemas.errors import ConfigError
from schemas.records import Encoding


def picture(form: str, size: tuple[int, int] = (31, 17)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (200, 40, 40)).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"])
def test_every_format_that_the_stream_stage_reads_is_taken(form: str) -> None:
    data = picture(form)
    assert stage_sniff(data) == form
    encoding = sniff(data)
    assert encoding == {"JPEG": Encoding.JPEG, "PNG": Encoding.PNG, "WEBP": Encoding.WEBP}.get(form, Encoding.OTHER)
    if form in ("JPEG", "PNG", "GIF"):
        assert declared_size(data, encoding) == (31, 17)


@pytest.mark.parametrize("data", [b"", b"text", b"%PDF-1.7", b"<svg xmlns='x'/>", b"\x1f\x8b\x08", b"RIFFxxxxWAVE"])
def test_what_is_no_picture_is_415(data: bytes) -> None:
    with pytest.raises(Problem) as found:
        sniff(data)
    assert (found.value.status, found.value.code) == (415, "not_a_picture")


def test_a_bomb_is_refused_by_what_its_header_declares() -> None:
    bomb = bytearray(picture("PNG"))
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(Problem) as found:
        check_pixels(bytes(bomb), Encoding.PNG, 50_000_000)
    assert found.value.status == 413
    for cut in range(64):  # no cut header makes it raise anything else
        check_pixels(picture("JPEG")[:cut], Encoding.JPEG, 50_000_000)
        check_pixels(picture("WEBP")[:cut], Encoding.WEBP, 50_000_000)


def test_a_key_owns_the_frames_of_its_own_sources_alone() -> None:
    key = Key("shop", digest_of(new_token()), ("upload",), 0)
    assert key.owns("shop.3/1/2")
    for other in (
        "shop2.3/1/2",
        "a.shop.3/1/2",
        "shop/1/2",
        "shop.x/1/2",
        "shop.3/1",
        "crawl.shop.3/1/2",
        "shop.3/1/2/4",
    ):
        assert not key.owns(other)
    assert owner_of("crawl.example.org/1/2") is None
    for name in ("Shop", "a.b", "", "crawl", "a/b", "x" * 64):
        with pytest.raises(ConfigError):
            check_name(name)
    with pytest.raises(ConfigError, match="admin"):
        check_scopes(["upload", "admin"])


def test_quotas_are_of_a_second_and_of_a_day() -> None:
    quotas, day_s = Quotas(10.0), 86_400 * 20_000.0
    key = Key("shop", "", (), 0, frames_per_day=12)
    quotas.take(key, 10, 100.0, day_s)
    with pytest.raises(Problem) as rate:
        quotas.take(key, 1, 100.0, day_s)
    assert (rate.value.code, rate.value.headers["retry-after"]) == ("rate", "1")
    quotas.take(key, 2, 101.0, day_s + 1)
    with pytest.raises(Problem) as quota:
        quotas.take(key, 1, 105.0, day_s + 5)
    assert (quota.value.code, quota.value.retry_after_s) == ("quota", 86_395.0)
    quotas.give_back(key, 2, day_s + 5)
    quotas.take(key, 2, 106.0, day_s + 6)
    quotas.take(key, 5, 107.0, day_s + 86_400)  # another day
    quotas.changed.clear()
    quotas.give_back(key, 2, day_s + 86_399)
    assert quotas.used("shop", 20_001) == 5, "frames of yesterday count against no other day"
    quotas.give_back(key, 2, day_s + 86_401)
    assert (quotas.used("shop", 20_001), quotas.changed) == (3, {"shop"}), "and the disk learns of it"


def test_room_is_bounded_and_one_body_always_fits() -> None:
    room = Room(100)
    room.take(500)
    with pytest.raises(Problem):
        room.take(1)
    room.give(500)
    room.take(60)
    room.take(40)


def test_the_ring_is_bounded_in_count_and_bytes_and_wakes_who_waits() -> None:
    woken: list[str] = []
    ring = OutcomeRing(3, 10_000)
    ring.wait("k.0/1/9", lambda: woken.append("9"))
    for number in range(12):
        ring.add(Outcome(f"k.0/1/{number}", "{}"))
    assert (len(ring), woken) == (3, ["9"])
    assert ring.get("k.0/1/8") is None
    ring.add(Outcome("k.0/1/20", "x" * 9_300))
    assert len(ring) == 1
    assert ring.size_bytes <= 10_000
    assert not ring.add(Outcome("k.0/1/20", '{"revision": 5}', revision=5)), "a correction is no new outcome"
    ring.add(Outcome("k.0/1/20", "{}", revision=0))
    found = ring.get("k.0/1/20")
    assert found is not None
    assert found.revision == 5, "the highest revision counts"


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (Bottleneck("none", "", waiting_frames=9_000_000), None),
        (Bottleneck("unknown", "", "unreadable"), None),
        (Bottleneck("sink-jsonl", "is behind", "slow", 9_000_000), None),
        (Bottleneck("infer", "is behind", "slow", 500), None),
        (Bottleneck("infer", "finishes 3 of 9 frames/s", "slow", 20_000, 77.0), 77.0),
        (Bottleneck("stream", "no process reads", "no_process", 20_000), 30.0),
        (Bottleneck("kafka", "a record waits 4 s", "slow", 10), 30.0),
        (Bottleneck("infer", "is behind", "slow", 10**9, 1e9), 300.0),
    ],
)
def test_uploads_are_refused_while_the_pipeline_is_behind(found: Bottleneck, status: float | None) -> None:
    problem = refusal(found, 10_000)
    assert (problem and (problem.status, problem.retry_after_s)) == (status and (429, status))


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/x", "http://[::1]/", "http://10.0.0.3:8080/", "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/",
        "http://100.64.1.1/", "ftp://example.org/", "http://user:pw@example.org/", "//example.org", "http://", "http://example.org:99999/",
        "http://[64:ff9b::a00:1]/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_targets_are_http_and_never_an_address_that_is_not_global(target: str) -> None:
    with pytest.raises(Problem) as found:
        check_target(target, GlobalAddresses())
    assert found.value.status == 422


def test_a_webhook_survives_its_way_over_the_topic() -> None:
    hook = webhook_of(Outcome("shop.1/2/3", '{"frame_id":"shop.1/2/3"}'), "https://example.org/h", "shop", 1_000)
    assert hook == webhook_of(
        Outcome("shop.1/2/3", '{"frame_id":"shop.1/2/3"}'), "https://example.org/h", "shop", 1_000
    )
    record = retry_record("webhooks.retry", hook, 1_060)
    assert isinstance(record.key, str)
    assert read_retry(record.key.encode(), record.value, record.headers) == (hook, 1_060)
    assert read_retry(b"x", b"y", []) is None
