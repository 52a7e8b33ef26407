"""The section of the model and the workers."""

from typing import Annotated, Literal

from pydantic import Field

from infra.settings.base import MIB, PartitionOffset, Positive, Section, Share

Delivery = Literal["at_least_once", "exactly_once"]


class InferSettings(Section):
    """A prediction below `min_probability` gets the decision REVIEW.

    `precision` is OpenVINO's; auto takes bf16 where the CPU supports it. `pass_over`: records of the topic of
    micro-batches that become dead letters although they look as if a newer version had written them.
    """

    model: str = "efficientnet-lite0"
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    max_batch_size: Positive = 32
    max_queue_delay_ms: Positive = 10
    max_queue_bytes: Positive = 64 * MIB
    top_k: Annotated[int, Field(ge=1, le=100)] = 5
    min_probability: Share = 0.35
    delivery: Delivery = "at_least_once"
    transaction_ms: Positive = 100
    transactional_id: str = ""
    commit_interval_ms: Positive = 500
    group_protocol: Literal["consumer", "classic"] = "consumer"
    group_instance_id: str = ""
    session_timeout_ms: Positive = 6_000
    max_poll_interval_ms: Positive = 300_000
    stall_timeout_ms: Positive = 60_000
    retry_limit_ms: Positive = 5_000
    cache: bool = True
    cache_embeddings: bool = False
    pass_over: tuple[PartitionOffset, ...] = ()


class ConfidenceSettings(Section):
    """What is told of the confidence of each source, for the `max_sources` with the most labels in a process; 0: none.

    A drift is looked for between the last `window_min` and the `reference_windows` before them. One label of a source
    is counted in `sample_every_ms`, because neighbouring frames are alike.
    """

    max_sources: Annotated[int, Field(ge=0, le=1_000)] = 100
    window_min: Annotated[int, Field(ge=1, le=24 * 60)] = 60
    reference_windows: Annotated[int, Field(ge=1, le=72)] = 24
    sample_every_ms: Annotated[int, Field(ge=0)] = 10_000
    false_alarm_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.001
