"""A day in the life: good cameras, and one for each misbehaviour, on one agent. `make day MINUTES=20 MODEL=null`.

Prints a table, and at the end one JSON object. Exit code 1 when a good camera was touched, a bad one was not up while
it could be, or a frame has no outcome.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from infra.kafka.publisher import Publisher
from infra.process.times import now_us
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.records import Encoding, Frame, SourceKind
from tests.faults.cluster import cluster as new_cluster
from tests.faults.day_cameras import DayCamera, cameras, hard_picture
from tests.faults.day_report import Row, Seen, table
from tests.faults.outcomes import read_all
from tests.faults.pictures import unique_jpeg
from tests.faults.rig import Rig
from tests.faults.rig import rig as new_rig
from tests.faults.sender import coordinates_of
from tests.support.deployment import Deployment

SETTLE_S = 600.0
# A lost camera is asked for again soon, so that a day of minutes sees it come back.
HURRY = {"SIGHTLINE_CAMERA__BACKOFF_MAX_MS": "5000"}


def day(rig: Rig, minutes: float, model: str, folder: Path) -> tuple[list[Row], list[str]]:
    """The rows of the table, and the promises that were broken."""
    rig.start_stages(model)
    with cameras(folder) as found:
        started_us = now_us()
        rig.keep("camera", "camera", "--config", str(cameras_toml(folder, found)), ready=False, **HURRY)
        with another_publisher(rig.deployed, [camera.id for camera in found if camera.source is None]):
            rig.wait(minutes * 60)
        agent = rig.keepers["camera"].current
        name = "sightline_camera_reconnects_total"
        reconnects = {camera.id: int(agent.metric(name, source_id=camera.id)) for camera in found}
        length_s = (now_us() - started_us) / 1e6
        rig.keepers["camera"].stop()
    faults = [f"{keeper.name} ended by itself" for keeper in rig.keepers.values() if keeper.ended_by_itself]
    try:
        rig.settle(SETTLE_S)
    except AssertionError as error:
        faults.append(str(error))
    rows = [Row(camera, seen, length_s) for camera, seen in seen_of(rig, found, started_us, reconnects)]
    return rows, faults + [fault for row in rows for fault in row.faults]


def cameras_toml(folder: Path, found: Sequence[DayCamera]) -> Path:
    file = folder / "cameras.toml"
    tables = (
        f'[[camera]]\nid = "{camera.id}"\nsource = "{camera.source}"\nfps = {camera.fps:g}\n'
        for camera in found
        if camera.source is not None
    )
    file.write_text("\n".join(tables))
    return file


@contextmanager
def another_publisher(deployed: Deployment, ids: Sequence[str]) -> Iterator[None]:
    """A program that publishes through our outbox, with the times of cameras whose clocks began in 1970."""
    settings, over = deployed.settings(), threading.Event()

    def run() -> None:
        publisher = Publisher(settings)
        hours = settings.topics.frames_retention_h
        outbox = Outbox(publisher, deployed.topics.frames, lambda *_: None, retention_h=hours)
        began_us = now_us()
        while not over.wait(0.2):
            for source_id in ids:
                clock_us, image = now_us() - began_us, unique_jpeg(f"{source_id}/{now_us()}")
                frame = OutgoingFrame(
                    source_id, SourceKind.CAMERA, began_us, clock_us, now_us(), Encoding.JPEG, image, "sim:clock"
                )
                outbox.publish(frame, over.is_set)
        publisher.close(30)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def seen_of(
    rig: Rig, found: Sequence[DayCamera], started_us: int, reconnects: dict[str, int]
) -> Iterator[tuple[DayCamera, Seen]]:
    """What lies on the topics, by camera."""
    frames: dict[str, dict[Coordinates, int]] = defaultdict(dict)
    for message in read_all(rig.bootstrap_servers, [rig.deployed.topics.frames]):
        frame = codec.decode(Frame, message.value())
        frames[frame.source_id][coordinates_of(message)] = frame.received_at
    labelled_us = {label.source: label.labelled_at for label in rig.reading.labels()}
    dead = Counter(outcome.source for outcome in rig.reading.outcomes() if outcome.label is None)
    for camera in found:
        mine = frames[camera.id]
        yield (
            camera,
            Seen(
                [(at_us - started_us) / 1e6 for at_us in mine.values()],
                [(labelled_us[place] - at_us) / 1e6 for place, at_us in mine.items() if place in labelled_us],
                sum(place in dead for place in mine),
                reconnects[camera.id],
            ),
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="day", description="Cameras that misbehave beside good ones, and the count.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--model", default="null")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    words = parser.parse_args()
    # SIGTERM ends the run as Ctrl-C does, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hard_picture()
    started_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="sightline-day-") as folder,
        new_cluster(Path(folder), random.Random(words.seed)) as cluster,
        new_rig(f"a day of {words.minutes:g} min, model {words.model}", cluster, words.seed) as rig,
    ):
        rows, faults = day(rig, words.minutes, words.model, Path(folder))
        count = asdict(rig.row()) if rig.ledger else {}
    print(table(rows), file=sys.stderr)
    print(json.dumps({**count, "ok": not faults, "faults": faults, "took_s": round(time.monotonic() - started_s)}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
