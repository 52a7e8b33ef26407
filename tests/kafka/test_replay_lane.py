"""The replay lane with its own stages beside a live lane: what it labels, and that it touches nothing that is live."""

import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer
from PIL import Image

from infra.kafka.clients import producer_config
from infra.kafka.group_offsets import committed_offsets
from infra.kafka.reader import Reader
from infra.kafka.topics import Lane, TopicNames, group
from infra.replay.lane import LaneStages
from schemas import codec
from schemas.cache_headers import NO_CACHE
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import (
    ORIGIN_OFFSET,
    ORIGIN_TOPIC,
    REPLAY_ID,
    Header,
    read_failure,
    replay_id_of,
    replay_of_headers,
)
from schemas.records import Encoding, Frame, Label, Origin, SourceKind
from tests.support.deployment import PARTITIONS, Deployment, deployment
from tests.support.models import ALWAYS
from tests.support.paths import ROOT
from tests.support.runner import Runner
from tests.support.services import Services

LANES: tuple[Lane, ...] = ("live", "replay")
MODEL = "tests.support.models:Failing"
YESTERDAY_MS = 86_400_000


def picture(grey: int) -> bytes:
    """Flat, and so dark or blurred: its label goes to review on the live lane."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def deployed(services: Services) -> Iterator[Deployment]:
    variables = {
        "SIGHTLINE_INFER__MODEL": MODEL,
        "SIGHTLINE_RETRY__DELAYS_MS": "[300]",
        "SIGHTLINE_STREAM__ENCODING": "RGB24",  # in which a grey of 1 is a byte of 1, the model's mark
    }
    with deployment(services, **variables) as made:
        yield made


@dataclass
class Lanes:
    """Writes frames to both lanes and reads what came of them."""

    deployed: Deployment
    sent: int = 0
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = self.deployed.settings()
        self.live, self.replay = (TopicNames.for_lane(self.deployed.prefix, lane) for lane in ("live", "replay"))
        self.plain = Producer(producer_config(self.settings))
        keys = {"transactional.id": f"{self.deployed.prefix}copy", "delivery.timeout.ms": 30_000}
        self.transactions = Producer(producer_config(self.settings, **keys))
        self.transactions.init_transactions(30)

    def publish(self, *images: bytes) -> None:
        """To the live lane."""
        for image in images:
            self._produce(self.plain, self.live.frames, image, [], 0)
        assert self.plain.flush(30) == 0

    def copy(self, *frames: tuple[bytes, list[Header]], commits: bool = True) -> None:
        """To the replay lane, in one transaction, as of yesterday."""
        self.transactions.begin_transaction()
        for image, headers in frames:
            of = replay_of_headers(Coordinates(self.live.frames, 0, self.sent))
            origin = [(ORIGIN_TOPIC, self.live.frames.encode()), (ORIGIN_OFFSET, b"7")]
            self._produce(self.transactions, self.replay.frames, image, [*origin, *of, *headers], YESTERDAY_MS)
        self.transactions.flush(30)
        (self.transactions.commit_transaction if commits else self.transactions.abort_transaction)(30)

    def labels(self, topic: str) -> list[Label]:
        with Reader(self.settings) as reader:
            return [codec.decode(Label, record.value) for record in reader.read(reader.spans(topic))]

    def wait_labels(self, topic: str, count: int, stages: LaneStages | None = None) -> list[Label]:
        until = time.monotonic() + 60
        while len(found := self.labels(topic)) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} labels"
            if stages is not None:
                stages.check()
            time.sleep(0.2)
        return found

    def cache(self) -> dict[str, bytes]:
        """Every key and value in Redis."""
        client = redis.Redis.from_url(self.deployed.redis_url)
        found = {key.decode(): client.get(key) for key in client.scan_iter()}
        client.close()
        return found  # type: ignore[return-value]

    def groups(self) -> dict[str, dict[TopicPartition, int]]:
        """What each group of the stages of both lanes has committed."""
        names = TopicNames.for_lane(self.deployed.prefix)
        topics = {names.frames, names.batches, names.retry, self.replay.frames, self.replay.batches}
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        names_of = [
            group(stage, self.deployed.prefix, lane) for lane in LANES for stage in ("stream", "infer", "retry")
        ]
        return {name: committed_offsets(self.settings, name, places, 30) for name in names_of}

    def ends(self) -> dict[str, list[int]]:
        """The ends of the live topics."""
        names = self.live
        with Reader(self.settings) as reader:
            return {
                topic: [span.end for span in reader.spans(topic)]
                for topic in (names.frames, names.batches, names.labels, names.review, names.labels_dead)
            }

    def _produce(self, producer: Producer, topic: str, image: bytes, headers: list[Header], age_ms: int) -> None:
        now_ms = int(time.time() * 1000) - age_ms
        frame = Frame(
            f"cam/1/{self.sent}", "cam", SourceKind.CAMERA, 1, self.sent, now_ms * 1000, now_ms * 1000,
            Encoding.PNG, image,
        )  # fmt: skip
        self.sent += 1
        producer.produce(
            topic, codec.encode(frame), "cam", self.sent % PARTITIONS, headers=[*headers], timestamp=now_ms,
            on_delivery=lambda error, _message: self.failed.append(str(error)) if error is not None else None,
        )  # fmt: skip
        assert not self.failed


def of_replay(replay_id: str, *more: Header) -> list[Header]:
    return [(REPLAY_ID, replay_id.encode()), *more]


@pytest.mark.system
def test_a_replay_runs_through_its_own_lane_and_changes_nothing_live(deployed: Deployment, tmp_path: Path) -> None:
    lanes = Lanes(deployed)
    seen, other, fails = picture(200), picture(90), picture(ALWAYS)
    with closing(Runner({**deployed.env, "PYTHONPATH": str(ROOT)})) as runner:
        live = [runner.start("infer"), runner.start("stream")]
        lanes.publish(seen)
        lanes.wait_labels(lanes.live.labels, 1)
        lanes.publish(seen)
        origins = [label.origin for label in lanes.wait_labels(lanes.live.labels, 2)]
        assert sorted(origins) == [Origin.CACHE_EXACT, Origin.MODEL]
        until = time.monotonic() + 20
        while sum(lanes.groups()[group("stream", deployed.prefix)].values()) < 2:
            assert time.monotonic() < until, "the live stage has not committed"
            time.sleep(0.2)
        time.sleep(2.0)  # the last commits
        before = lanes.cache(), lanes.ends(), lanes.groups()

        with LaneStages(env={**deployed.env, "PYTHONPATH": str(ROOT)}, logs_dir=tmp_path, niceness=1) as stages:
            lanes.copy((other, of_replay("broken-off")), commits=False)
            lanes.copy(
                (seen, of_replay("r1")),
                (seen, of_replay("r1.a", NO_CACHE)),
                (b"no picture", of_replay("r1")),
                (fails, of_replay("r1", NO_CACHE)),
            )
            lanes.wait_labels(lanes.replay.labels, 2, stages)
            lanes.copy((seen, of_replay("r1")), (seen, of_replay("r2")), (seen, of_replay("r1.a", NO_CACHE)))
            found = lanes.wait_labels(lanes.replay.labels, 5, stages)
            audited = runner.run("audit", "--lane", "replay", "--wait", "30", "--json", timeout_s=60)
        after = lanes.cache(), lanes.ends(), lanes.groups()
        assert all(process.exit_code is None for process in live)

    assert Counter((label.replay_id, label.origin) for label in found) == {
        ("r1", Origin.MODEL): 1, ("r1", Origin.CACHE_EXACT): 1, ("r2", Origin.MODEL): 1, ("r1.a", Origin.MODEL): 2,
    }  # fmt: skip
    assert all(label.source.topic == lanes.replay.frames for label in found)
    assert all(label.replay_of is not None and label.replay_of.topic == lanes.live.frames for label in found)

    with Reader(lanes.settings) as reader:
        dead = list(reader.read(reader.spans(lanes.live.dead)))
        copies = list(reader.read(reader.spans(lanes.replay.frames)))
    failures = [failure for letter in dead if (failure := read_failure(letter.headers)) is not None]
    assert sorted((one.stage, one.attempt) for one in failures) == [("infer", 1), ("stream", 0)]
    assert all(one.source.topic == lanes.replay.frames for one in failures)
    assert [replay_id_of(letter.headers) for letter in dead] == ["r1", "r1"]
    assert all(record.timestamp_ms > time.time() * 1000 - YESTERDAY_MS / 2 for record in copies)

    balance = json.loads(audited.stdout)
    assert (balance["frames"], balance["labels"], balance["dead"], balance["ok"]) == (7, 5, 2, True)

    def live_keys(keys: dict[str, bytes]) -> dict[str, bytes]:
        return {key: value for key, value in keys.items() if ":replay:" not in key}

    assert live_keys(after[0]) == before[0]
    assert len(after[0]) == len(before[0]) + 2  # of r1 and of r2
    assert after[1] == before[1]
    # The retry topic is shared: each lane's own group passes over the frames of the other.
    for stage, topics in (
        ("stream", {lanes.replay.frames}),
        ("infer", {lanes.replay.batches}),
        ("retry", {lanes.replay.retry}),
    ):
        live_group, own = group(stage, deployed.prefix), group(stage, deployed.prefix, "replay")
        assert stage == "retry" or (before[2][live_group] and after[2][live_group] == before[2][live_group])
        assert before[2][own] == {}
        assert {place.topic for place in after[2][own]} == topics
