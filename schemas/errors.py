"""Every error that Sightline raises on purpose, by what the caller can do about it.

SightlineError
 ├─ ConfigError     the person at the keyboard mends it; nothing was opened. Caught by the CLI: exit 2.
 ├─ Unavailable     a service does not answer at its address, or lacks a part. Caught by the CLI at start: exit 1.
 ├─ BadFrame        this one input can never be labelled. Caught by the stage: dead letter.
 │   └─ UnknownVersion  a newer program wrote this record. On a topic of our own it stops its reader; else a BadFrame.
 ├─ BadLabel        this one label can never be taken by a sink. Caught by the sink's loop: `labels.dead`.
 ├─ DecoderDied     the process that decoded this input ended or hung. Caught by the stage: retried.
 ├─ Busy            try this again later, it was not done. Caught by the stage: wait, then again.
 ├─ ModelError      the model failed on input that was sound. Caught by the worker: split, run again, retried.
 ├─ SinkError       an output refused what it was given. Caught by the loop of the sink: not committed.
 ├─ ArchiveError    an archive is cut, altered, incomplete or in use. Caught by the CLI: exit 1.
 │   └─ NoRoom          its storage is full. Caught by `archive run`: tried again, or exit 1.
 ├─ KafkaFailure    a call to Kafka failed (infra/kafka/errors.py). Caught by whoever knows whether to try again.
 └─ Stalled         the process cannot keep its promises any more and must end. Caught by the CLI: exit 1.

Anything else that is raised is a defect and ends the process with its traceback.
"""

from schemas.coordinates import Coordinates


class SightlineError(Exception):
    """Base of the tree; `str()` of each is one sentence fit for a person."""


class ConfigError(SightlineError):
    """Settings, flags or the environment are wrong; `faults` lists everything found at once."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__(faults[0] if len(faults) == 1 else "\n".join(["several settings are wrong:", *faults]))


class Unavailable(SightlineError):
    """A service that is needed does not answer, or (`answers`) lacks what is needed; which, where, and what to do."""

    def __init__(self, service: str, address: str, hint: str, *, answers: bool = False) -> None:
        self.service, self.address, self.hint, self.answers = service, address, hint, answers
        super().__init__(
            f"{service} at {address} {hint}" if answers else f"{service} does not answer at {address}: {hint}"
        )


class BadFrame(SightlineError):
    """Input that no retry can mend. `reason` is a short snake_case word, `detail` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class UnknownVersion(BadFrame):
    """A record that is framed as ours are, in a version of its schema that this program does not know.

    On a topic that only Sightline writes, its writer is newer than its reader: the record is sound, and the reader must
    be upgraded before it goes on (`infra.failures.unknown_versions`).
    """


class BadLabel(SightlineError):
    """A label that a sink can never take. `reason` is a short snake_case word, `detail` is for people.

    `at` is the place of the label's record; needed only where a flush of many labels finds out.
    """

    def __init__(self, reason: str, detail: str = "", at: Coordinates | None = None) -> None:
        self.reason, self.detail, self.at = reason, detail, at
        super().__init__(f"{reason}: {detail}" if detail else reason)


class DecoderDied(SightlineError):
    """The process that decoded an image was killed, crashed or hung; whether the image is the cause is not known."""


class Busy(SightlineError):
    """Not done, nothing lost: call again after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: float, what: str = "busy") -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"{what}, try again in {retry_after_s:g} s")


class ModelError(SightlineError):
    """The model could not be loaded, or failed on sound input."""


class SinkError(SightlineError):
    """An output did not take what it was given; nothing may be committed past it."""


class ArchiveError(SightlineError):
    """An archive of frames is not what its manifests say, or cannot be used; names the file."""


class NoRoom(ArchiveError):
    """The storage of an archive is full; nothing half written counts."""


class Stalled(SightlineError):
    """Work waits and nothing is finished, or a client gave up: the process ends, so that it is started again."""
