"""`sightline redrive` on a real broker: copy, wait for the acknowledgement, mark; nothing is lost or sent twice."""

import json
import signal
import time
from typing import Any

import pytest

from infra.failures.dead_letters import Mark, parse
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import attempt_of, read_failure
from schemas.records import Frame
from tests.support.batches import read_all
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.sink_records import Wire, a_frame


def redrive(sightline: Runner, *words: str) -> tuple[int, dict[str, Any]]:
    done = sightline.run("redrive", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def marks(deployment: Deployment) -> list[tuple[int, int]]:
    entries = [parse(record) for record in read_all(deployment.settings(), deployment.topics.dead)]
    return sorted(entry.letter for entry in entries if isinstance(entry, Mark))


def dead_frames(wire: Wire, count: int) -> list[Coordinates]:
    """Dead letters of frames 0, 1, ... of partition 2."""
    return [
        wire.dead(
            Coordinates(wire.topics.frames, 2, number),
            codec.encode(a_frame(number)),
            stage="infer",
            error_class="ModelError",
            attempt=3,
        )
        for number in range(count)
    ]


def test_tells_first_then_copies_with_the_origin_and_marks(
    sightline: Runner, wire: Wire, deployment: Deployment
) -> None:
    letters = dead_frames(wire, 3)
    wire.dead(Coordinates(wire.topics.frames, 2, 9), b"\xff\xd8\xff no Frame")
    code, found = redrive(sightline, "--all")
    assert (code, found["executed"], found["chosen"]) == (0, False, 3)
    assert found["refused"] == {"no Frame (not_avro)": 1}
    assert read_all(deployment.settings(), wire.topics.retry) == []
    assert marks(deployment) == []

    code, found = redrive(sightline, "--all", "--execute")
    assert (code, found["redriven"], found["failed"]) == (0, 3, 0)
    copies = read_all(deployment.settings(), wire.topics.retry)
    frames = [codec.decode(Frame, copy.value) for copy in copies]
    assert sorted(frame.frame_seq for frame in frames) == [0, 1, 2]
    for copy, frame in zip(copies, frames, strict=True):
        failure = read_failure(copy.headers)
        assert failure is not None
        assert failure.source == Coordinates(wire.topics.frames, 2, frame.frame_seq)
        assert (attempt_of(copy.headers), copy.key) == (1, b"dock-1")
    assert marks(deployment) == [(place.partition, place.offset) for place in letters]

    code, found = redrive(sightline, "--all", "--execute")
    assert (code, found["chosen"], found["skipped"]) == (0, 0, 3)
    assert len(read_all(deployment.settings(), wire.topics.retry)) == 3


def test_one_or_some_are_chosen_by_place_and_filter(sightline: Runner, wire: Wire, deployment: Deployment) -> None:
    letters = dead_frames(wire, 3)
    wire.dead(Coordinates(wire.topics.frames, 2, 9), codec.encode(a_frame(9)), error_class="truncated")
    one = f"{letters[1].partition}/{letters[1].offset}"
    assert redrive(sightline, "--partition-offset", one, "--execute")[1]["redriven"] == 1
    assert marks(deployment) == [(letters[1].partition, letters[1].offset)]
    assert redrive(sightline, "--error", "trunc*", "--execute")[1]["redriven"] == 1
    assert redrive(sightline, "--stage", "infer")[1]["chosen"] == 2
    nothing = sightline.run("redrive")
    assert (nothing.returncode, "say what to redrive" in nothing.stderr) == (2, True)
    unknown = sightline.run("redrive", "--partition-offset", one, "--partition-offset", "2/4711", "--execute")
    assert (unknown.returncode, "no dead letter at 2/4711" in unknown.stderr) == (2, True)


def test_a_frame_that_dies_again_and_again_reaches_the_cap(sightline: Runner, wire: Wire) -> None:
    for _ in range(2):
        dead_frames(wire, 1)
        assert redrive(sightline, "--all", "--execute", "--max-attempts", "2")[1]["redriven"] == 1
    dead_frames(wire, 1)
    code, found = redrive(sightline, "--all", "--execute", "--max-attempts", "2")
    assert (code, found["chosen"], found["refused"]) == (0, 0, {"redriven 2 times already": 1})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_cancelled_midway_nothing_is_lost_and_the_rest_goes_next_time(
    sightline: Runner, wire: Wire, deployment: Deployment, number: int
) -> None:
    letters = dead_frames(wire, 40)
    process = sightline.start("redrive", "--all", "--execute", "--rate", "8/s", "--json", http=False)
    until = time.monotonic() + 60
    while len(read_all(deployment.settings(), wire.topics.retry)) < 4:
        assert time.monotonic() < until, process.stderr
        time.sleep(0.1)
    process.signal(number)
    process.wait(10)
    marked = set(marks(deployment))
    copied = {
        read.source.offset
        for copy in read_all(deployment.settings(), wire.topics.retry)
        if (read := read_failure(copy.headers))
    }
    assert 0 < len(copied) < 40
    assert len(marked) <= len(copied), "nothing is marked that was not copied"
    if number == signal.SIGTERM:
        assert len(marked) == len(copied)
        assert process.exit_code == 1
    code, found = redrive(sightline, "--all", "--execute")
    assert (code, found["skipped"], found["redriven"]) == (0, len(marked), 40 - len(marked))
    copies = [
        read.source.offset
        for copy in read_all(deployment.settings(), wire.topics.retry)
        if (read := read_failure(copy.headers))
    ]
    assert set(copies) == set(range(40))
    assert len(copies) - 40 == len(copied) - len(marked), "only what was copied and not marked goes twice"
    assert len(set(marks(deployment))) == len(letters)
