"""Which part of the pipeline holds it back, and why. Pure.

Back-pressure keeps the backlog on `frames.raw`: slow workers show as lag of the stream stage, which is paused. So the
verdict goes by who is paused, and not by where the lag is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# A stage whose oldest frame waits for less than that is not behind.
BEHIND_S = 2.0
# Kafka is slow when a record waits longer than that for its acknowledgement by all in-sync replicas.
SLOW_PRODUCE_S = 1.0


@dataclass(frozen=True, slots=True)
class StageState:
    """One stage as its processes and its consumer group tell it.

    `name`: ingest, stream, infer or sink-<name>. `waiting_frames`: frames before it that it has not finished.
    `lag_s`: the age of the oldest of them. `arriving_per_s` and `rate_per_s`: frames that come to it, and that it
    finishes; None while unknown. `paused`: why it takes no frame although some wait. `members`: processes that read.
    `is_stuck`: it has members, and no offset was committed for too long.
    """

    name: str
    waiting_frames: int
    lag_s: float | None = None
    arriving_per_s: float | None = None
    rate_per_s: float | None = None
    paused: str | None = None
    members: int = 1
    is_stuck: bool = False

    @property
    def is_behind(self) -> bool:
        """An unknown age counts as old."""
        return self.waiting_frames > 0 and (self.lag_s is None or self.lag_s >= BEHIND_S)


@dataclass(frozen=True, slots=True)
class KafkaState:
    """How Kafka answers. `produce_wait_s`: the median time until a record is acknowledged; None when none was sent."""

    is_up: bool = True
    produce_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """`stage`: none, kafka, ingest, stream, infer, sink-<name> or unknown.

    `why`: a sentence. `reason`: the same in one of a few words, for labels of metrics.
    `waiting_frames`: before it, those that a stage before it holds back included. `eta_s`: when nothing
    waits any more if all goes on like this; None where the backlog does not fall.
    """

    stage: str
    why: str
    reason: str = "none"
    waiting_frames: int = 0
    eta_s: float | None = None


def find_bottleneck(
    chain: Sequence[StageState] | None, sinks: Sequence[StageState] = (), kafka: KafkaState | None = None
) -> Bottleneck:
    """`chain`: ingest, stream and infer, in the order of a frame. None: what the stages say may not be read.

    The first stage of the chain that is behind is held back by the next one that is not paused: itself, or one behind
    it. Sinks hold back nobody: one is named when the chain keeps up.
    """
    kafka = kafka or KafkaState()
    if not kafka.is_up:
        return Bottleneck("kafka", "no broker answers", "away")
    if chain is None:
        return Bottleneck("unknown", "the topic pipeline.status cannot be read", "unreadable")
    behind = next((at for at, stage in enumerate(chain) if stage.is_behind or stage.paused is not None), None)
    late_sinks = [sink for sink in sinks if sink.is_behind]
    is_kafka_slow = kafka.produce_wait_s is not None and kafka.produce_wait_s >= SLOW_PRODUCE_S
    if is_kafka_slow and (behind is not None or late_sinks):
        why = f"a record waits {kafka.produce_wait_s:.1f} s for its acknowledgement"
        return Bottleneck("kafka", why, "slow", _sum(chain))
    if behind is not None:
        return _in_chain(chain, behind)
    if late_sinks:
        worst = max(late_sinks, key=lambda sink: (sink.lag_s or float("inf"), sink.waiting_frames))
        eta_s = _eta_s(worst, worst, worst.waiting_frames)
        return Bottleneck(worst.name, *_why(worst, None), worst.waiting_frames, eta_s)
    return Bottleneck("none", "", "none", _sum(chain))


def _in_chain(chain: Sequence[StageState], behind: int) -> Bottleneck:
    at = behind
    while chain[at].paused is not None and at + 1 < len(chain):
        at += 1
    stage, held = chain[at], chain[behind] if at > behind else None
    waiting = _sum(chain[behind : at + 1])
    return Bottleneck(stage.name, *_why(stage, held), waiting, _eta_s(stage, chain[behind], waiting))


def _why(stage: StageState, held: StageState | None) -> tuple[str, str]:
    """The reason as a sentence and as a word; `held` is the stage that waits for this one."""
    arriving, rate = stage.arriving_per_s, stage.rate_per_s
    if not stage.members:
        why, reason = "no process reads", "no_process"
    elif stage.is_stuck:
        why, reason = "its processes commit nothing", "stuck"
    elif stage.paused is not None:
        why, reason = f"paused: {stage.paused}", "paused"
    elif rate is not None and arriving is not None and rate < arriving:
        why, reason = f"finishes {rate:.1f} of {arriving:.1f} frames/s", "slow"
    elif rate is not None:
        why, reason = f"works off its backlog at {rate:.1f} frames/s", "backlog"
    else:
        why, reason = "is behind", "backlog"
    return (f"{why}; {held.name} waits for it" if held is not None else why), reason


def _eta_s(stage: StageState, entry: StageState, waiting: int) -> float | None:
    """What the stage finishes beyond what comes in at the stage where frames queue up works off the backlog."""
    if stage.rate_per_s is None or entry.arriving_per_s is None or stage.rate_per_s <= entry.arriving_per_s:
        return None
    return waiting / (stage.rate_per_s - entry.arriving_per_s)


def _sum(stages: Sequence[StageState]) -> int:
    return sum(stage.waiting_frames for stage in stages)
