"""Sections of the sinks: the loop that all share, and one section for each kind of sink with settings of its own."""

from infra.settings.base import MIB, PartitionOffset, Positive, Section


class SinkSettings(Section):
    """A micro-batch is flushed when it has `max_batch_rows` labels or `max_batch_bytes`, or is `flush_interval_ms` old.

    `repeat_window_offsets`: a second label of a frame is left out when it lies within so many offsets of its partition
    behind the first. `group_instance_id`: static membership, so that a restart within the session time-out moves no
    partition. `pass_over`: records of the topic of labels that go to `labels.dead` although they look as if a newer
    version had written them.
    """

    max_batch_rows: Positive = 1_000
    max_batch_bytes: Positive = 8 * MIB
    flush_interval_ms: Positive = 1_000
    repeat_window_offsets: Positive = 10_000
    session_timeout_ms: Positive = 6_000
    group_instance_id: str = ""
    pass_over: tuple[PartitionOffset, ...] = ()


class JsonlSettings(Section):
    """A file is closed when it has `max_file_bytes` or is `max_file_age_s` old.

    `max_open_files`: hours with an unclosed file; beyond it, the ones written least recently are closed early.
    """

    max_file_bytes: Positive = 64 * MIB
    max_file_age_s: Positive = 300
    max_open_files: Positive = 48
