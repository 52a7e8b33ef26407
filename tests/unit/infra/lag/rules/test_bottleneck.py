"""Which part of the pipeline holds it back: a row for each way in which it can be."""

import pytest

from infra.lag.rules.bottleneck import KafkaState, StageState, find_bottleneck

INGEST = StageState("ingest", 0, arriving_per_s=100, rate_per_s=100)
STREAM = StageState("stream", 0, 0.2, arriving_per_s=100, rate_per_s=100)
INFER = StageState("infer", 300, 0.5, arriving_per_s=100, rate_per_s=100)
SINK = StageState("sink-postgres", 10, 0.5, arriving_per_s=100, rate_per_s=100)


def stream(waiting: int, lag_s: float | None = 30.0, **state: object) -> StageState:
    return StageState("stream", waiting, lag_s, **{"arriving_per_s": 100.0, "rate_per_s": 100.0, **state})  # type: ignore[arg-type]


def infer(waiting: int, lag_s: float | None = 30.0, **state: object) -> StageState:
    return StageState("infer", waiting, lag_s, **{"arriving_per_s": 100.0, "rate_per_s": 100.0, **state})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "sinks", "kafka", "stage", "why", "waiting", "eta_s"),
    [
        ([INGEST, STREAM, INFER], [SINK], None, "none", "", 300, None),
        # Slow workers: the lag is that of the stream stage, which is paused.
        (
            [INGEST, stream(9000, paused="the workers are behind", rate_per_s=60.0), infer(1000, rate_per_s=60.0)],
            [],
            None,
            "infer",
            "finishes 60.0 of 100.0 frames/s; stream waits for it",
            10_000,
            None,
        ),
        # They work it off: 150 of 100 arrive.
        (
            [
                INGEST,
                stream(4000, paused="the workers are behind"),
                infer(1000, arriving_per_s=150.0, rate_per_s=150.0),
            ],
            [],
            None,
            "infer",
            "works off its backlog at 150.0 frames/s; stream waits for it",
            5000,
            100.0,
        ),
        # Cameras doubled: the stream stage is not paused.
        (
            [INGEST, stream(5000, arriving_per_s=200.0, rate_per_s=120.0), INFER],
            [],
            None,
            "stream",
            "finishes 120.0 of 200.0 frames/s",
            5000,
            None,
        ),
        ([INGEST, stream(5000, members=0, rate_per_s=None), INFER], [], None, "stream", "no process reads", 5000, None),
        (
            [INGEST, stream(5000, paused="the workers are behind"), infer(500, members=0, rate_per_s=None)],
            [],
            None,
            "infer",
            "no process reads; stream waits for it",
            5500,
            None,
        ),
        (
            [INGEST, STREAM, infer(500, None, is_stuck=True)],
            [],
            None,
            "infer",
            "its processes commit nothing",
            500,
            None,
        ),
        # Kafka is slow or away: no stage is to blame.
        (
            [INGEST, stream(5000, rate_per_s=20.0), INFER],
            [],
            KafkaState(produce_wait_s=3.0),
            "kafka",
            "a record waits 3.0 s for its acknowledgement",
            5300,
            None,
        ),
        ([INGEST, STREAM, INFER], [], KafkaState(produce_wait_s=3.0), "none", "", 300, None),
        ([INGEST, stream(5000), INFER], [], KafkaState(is_up=False), "kafka", "no broker answers", 0, None),
        # Frames wait at the cameras although Kafka takes them.
        (
            [StageState("ingest", 800, 9.0, 100, 60), STREAM, INFER],
            [],
            None,
            "ingest",
            "finishes 60.0 of 100.0 frames/s",
            800,
            None,
        ),
        # A late sink holds back nobody, and is named when nobody else is late.
        (
            [INGEST, STREAM, INFER],
            [SINK, StageState("sink-parquet", 900, 60.0, 100, 110)],
            None,
            "sink-parquet",
            "works off its backlog at 110.0 frames/s",
            900,
            90.0,
        ),
        (
            [INGEST, stream(50, rate_per_s=60.0), INFER],
            [StageState("sink-parquet", 900, 60.0)],
            None,
            "stream",
            None,
            50,
            None,
        ),
        (None, [], None, "unknown", "the topic pipeline.status cannot be read", 0, None),
        # Paused for a reason of its own, with nobody behind it.
        (
            [INGEST, STREAM, infer(90, paused="Redis does not answer")],
            [],
            None,
            "infer",
            "paused: Redis does not answer",
            90,
            None,
        ),
    ],
)
def test_the_stage_that_holds_the_pipeline_back(
    chain: list[StageState] | None,
    sinks: list[StageState],
    kafka: KafkaState | None,
    stage: str,
    why: str | None,
    waiting: int,
    eta_s: float | None,
) -> None:
    found = find_bottleneck(chain, sinks, kafka)
    assert (found.stage, found.waiting_frames, found.eta_s) == (stage, waiting, eta_s)
    assert why is None or found.why == why
