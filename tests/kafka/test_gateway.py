"""The upload gateway on a real broker: what is answered 202 is on its topic, and labels come back to who uploaded."""

import base64
import json
import time
from pathlib import Path

import pytest

from infra.kafka.group_offsets import committed_offsets
from infra.kafka.reader import Reader
from infra.kafka.topics import group
from infra.net.policy import OnlyEndpoint
from infra.process.times import now_us
from ingest.gateway.answers import example_png
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.records import Frame, SourceKind
from schemas.webhooks import Refused, Verifier
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.gateways import add_key, running_gateway
from tests.support.receiver import receiving
from tests.support.sink_records import Wire, a_jpeg


def frames_on(deployment: Deployment) -> dict[str, Frame]:
    with Reader(deployment.settings()) as reader:
        records = reader.read(reader.spans(deployment.topics.frames))
        frames = [codec.decode(Frame, record.value) for record in records]
    return {frame.frame_id: frame for frame in frames}


def write_label(wire: Wire, frame_id: str) -> None:
    wire.label_soon(Coordinates("frames.raw", 0, 0), frame_id=frame_id, source_id=frame_id.partition("/")[0])
    wire.flush()


def test_uploads_are_on_the_topic_and_labels_come_back(deployment: Deployment, wire: Wire, tmp_path: Path) -> None:
    token, _ = add_key(tmp_path)
    other, _ = add_key(tmp_path, "other")
    with running_gateway(deployment, tmp_path) as gateway, gateway.client(token) as client:
        files = [("file", (f"{n}.jpg", a_jpeg((n, 0, 0)), "image/jpeg")) for n in range(3)]
        first = client.post("/v1/frames", files=files)
        raw = client.post("/v1/frames?name=cat.png&captured_at=2026-11-26T08:00:00Z", content=example_png())
        assert (first.status_code, raw.status_code) == (202, 202), first.text + raw.text
        taken = [*first.json()["frames"], *raw.json()["frames"]]
        frames = frames_on(deployment)
        assert [frames[one["frame_id"]].image for one in taken] == [*(one[1][1] for one in files), example_png()]
        assert {frame.source_kind for frame in frames.values()} == {SourceKind.UPLOAD}
        several = [("file", (f"{n}.jpg", a_jpeg((n, 0, 0)))) for n in range(40)]
        sources = {
            one["frame_id"].partition("/")[0] for one in client.post("/v1/frames", files=several).json()["frames"]
        }
        assert sources == {"shop.0", "shop.1", "shop.2"}, "a key does not end on one partition"
        assert frames[taken[3]["frame_id"]].uri == "cat.png"

        path = taken[0]["label"]
        assert client.get(path).json()["code"] == "no_label_yet"
        with gateway.client(other) as stranger:
            assert stranger.get(path).status_code == 403
        write_label(wire, taken[0]["frame_id"])
        found = client.get(f"{path}?wait=10")
        assert found.status_code == 200, found.text
        assert found.json()["frame_id"] == taken[0]["frame_id"]
        gone = client.get(f"/v1/labels/shop.1/5/5?wait={0}")
        assert (gone.status_code, gone.json()["code"]) == (404, "not_kept")


def test_every_partition_of_the_webhooks_has_a_committed_offset(deployment: Deployment, tmp_path: Path) -> None:
    """Also without a webhook: a partition without one looks as if nobody read it."""
    name = group("webhooks", deployment.prefix)
    partitions = [TopicPartition(deployment.topics.webhooks, number) for number in range(PARTITIONS)]
    with running_gateway(deployment, tmp_path):
        until_s = time.monotonic() + 30
        while len(committed_offsets(deployment.settings(), name, partitions, 10.0)) < PARTITIONS:
            assert time.monotonic() < until_s
            time.sleep(0.2)


def test_a_repeated_request_uploads_nothing_also_after_a_restart(deployment: Deployment, tmp_path: Path) -> None:
    token, _ = add_key(tmp_path)
    headers = {"idempotency-key": "order-7"}
    with running_gateway(deployment, tmp_path) as gateway, gateway.client(token) as client:
        first = client.post("/v1/frames", content=a_jpeg(), headers=headers)
    with running_gateway(deployment, tmp_path) as gateway, gateway.client(token) as client:
        again = client.post("/v1/frames", content=a_jpeg(), headers=headers)
        assert (again.status_code, again.content) == (202, first.content)
        other = client.post("/v1/frames", content=a_jpeg((1, 2, 3)), headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "other_body")
    assert len(frames_on(deployment)) == 1


def test_what_is_refused_is_told_as_a_problem(deployment: Deployment, tmp_path: Path) -> None:
    token, _ = add_key(tmp_path, frames_per_s=5.0)
    reader, _ = add_key(tmp_path, "reader", scopes=("labels",))
    daily, _ = add_key(tmp_path, "daily", frames_per_day=1)
    with running_gateway(deployment, tmp_path) as gateway, gateway.client(token) as client:
        text = client.post("/v1/frames", content=b"Dear Sir or Madam", headers={"content-type": "image/jpeg"})
        mixed = client.post("/v1/frames", files=[("file", ("a.jpg", a_jpeg())), ("file", ("a.txt", b"text"))])
        large = client.post("/v1/frames", content=b"\xff\xd8\xff" + bytes(50_000_000))
        huge = bytearray(example_png())
        huge[16:24] = (100_000).to_bytes(4) * 2
        pixels = client.post("/v1/frames", content=bytes(huge))
        target = client.post("/v1/frames?webhook=http://169.254.169.254/x", content=a_jpeg())
        bare = client.post("/v1/frames", content=a_jpeg(), headers={"authorization": "Bearer slk_wrong"})
        found = [(one.status_code, one.json()["code"]) for one in (text, mixed, large, pixels, target, bare)]
        assert found == [
            (415, "not_a_picture"),
            (415, "not_a_picture"),
            (413, "too_large"),
            (413, "too_many_pixels"),
            (422, "refused_target"),
            (401, "unauthorized"),
        ]
        assert {one.headers["content-type"] for one in (text, large, bare)} == {"application/problem+json"}
        flood = [client.post("/v1/frames", content=a_jpeg()) for _ in range(12)]
        refused = [one for one in flood if one.status_code == 429]
        assert refused and int(refused[0].headers["retry-after"]) >= 1
        with gateway.client(reader) as one:
            assert one.post("/v1/frames", content=a_jpeg()).status_code == 403
        with gateway.client(daily) as one:
            assert one.post("/v1/frames", content=a_jpeg()).status_code == 202
            second = one.post("/v1/frames", content=a_jpeg())
            assert (second.status_code, second.json()["code"]) == (429, "quota")
    accepted = sum(one.status_code == 202 for one in flood)
    assert len(frames_on(deployment)) == accepted + 1, "nothing that was refused is on the topic"


def test_the_examples_of_the_interface_are_true(deployment: Deployment, wire: Wire, tmp_path: Path) -> None:
    token, _ = add_key(tmp_path)
    with running_gateway(deployment, tmp_path) as gateway, gateway.client(token) as client:
        document = client.get("/openapi.json").json()
        upload = document["paths"]["/v1/frames"]["post"]
        kinds = upload["requestBody"]["content"]
        raw = client.post("/v1/frames", content=base64.b64decode(kinds["image/*"]["example"]))
        files = [("file", ("x.png", base64.b64decode(one))) for one in kinds["multipart/form-data"]["example"]["file"]]
        several = client.post("/v1/frames", files=files)
        shown = document["components"]["schemas"]["TakenFrames"]["example"]["frames"][0]
        assert raw.status_code == several.status_code == 202
        assert len(several.json()["frames"]) == 2
        assert raw.json()["frames"][0].keys() == shown.keys()
        frame_id = raw.json()["frames"][0]["frame_id"]
        write_label(wire, frame_id)
        label = document["paths"]["/v1/labels/{frame_id}"]["get"]["responses"]["200"]
        example = label["content"]["application/json"]["example"]
        found = client.get(f"/v1/labels/{frame_id}?wait=10").json()
        assert found.keys() == example.keys()
        problem = client.post("/v1/frames", content=b"")
        assert problem.json().keys() == document["components"]["schemas"]["ProblemBody"]["properties"].keys()
        page = client.get("/docs")
        assert page.status_code == 200
        assert "/v1/labels/" in page.text


def test_webhooks_are_signed_repeated_until_they_arrive_and_refused_when_replayed(
    deployment: Deployment, wire: Wire, tmp_path: Path
) -> None:
    token, key = add_key(tmp_path)
    with receiving() as receiver:
        port = receiver.server.server_address[1]
        receiver.answers = [500, 503]
        with (
            running_gateway(deployment, tmp_path, OnlyEndpoint("127.0.0.1", port), webhook_delays_s=(1,)) as gateway,
            gateway.client(token) as client,
        ):
            sent = client.post("/v1/frames", params={"webhook": receiver.url}, content=a_jpeg())
            assert sent.status_code == 202, sent.text
            # To another port of this very host: a name is judged when it is connected to.
            elsewhere = client.post("/v1/frames", params={"webhook": f"http://localhost:{port + 1}/"}, content=a_jpeg())
            frame_id = sent.json()["frames"][0]["frame_id"]
            write_label(wire, frame_id)
            write_label(wire, elsewhere.json()["frames"][0]["frame_id"])
            until_s = time.monotonic() + 20
            while not receiver.bodies and time.monotonic() < until_s:
                time.sleep(0.05)
    assert [body["data"]["frame_id"] for body in receiver.bodies] == [frame_id]
    body = json.dumps(receiver.bodies[0], separators=(",", ":")).encode()
    verifier, headers, now_s = Verifier(key.signing_secret), receiver.headers[0], now_us() / 1e6
    assert verifier.verify(headers, body, now_s).startswith("msg_")
    for at_s, given, reason in (
        (now_s, body, "seen_before"),
        (now_s + 600, body, "too_old"),
        (now_s, b"{}", "bad_signature"),
    ):
        with pytest.raises(Refused) as refused:
            verifier.verify(headers, given, at_s)
        assert refused.value.reason == reason
