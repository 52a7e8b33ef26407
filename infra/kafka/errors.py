"""The errors of the Kafka client by what a caller can do: no code outside this package reads the client's codes."""

import re
from dataclasses import dataclass
from enum import Enum, auto

import confluent_kafka
from confluent_kafka import KafkaError

from schemas.errors import SightlineError, Stalled


class FaultKind(Enum):
    """What a caller can do about a fault."""

    FATAL = auto()  # the client never works again
    NO_OFFSET = auto()  # a consumer has no offset to start a partition at
    OUT_OF_GROUP = auto()  # a consumer polled too late and is no member of its group any more
    END_OF_PARTITION = auto()  # there is no further record at this moment
    GONE = auto()  # the record, its partition or its topic does not exist any more
    TOO_LARGE = auto()  # no broker takes a record of this size
    FORBIDDEN = auto()  # the client's user lacks a right
    PASSING = auto()  # the same call can succeed later
    OTHER = auto()


# What `KafkaError.retriable()` leaves out of the errors that pass by themselves, with a broker's return at the latest.
_PASSING = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
_KINDS = {
    KafkaError._FATAL: FaultKind.FATAL,
    KafkaError._AUTO_OFFSET_RESET: FaultKind.NO_OFFSET,
    KafkaError._MAX_POLL_EXCEEDED: FaultKind.OUT_OF_GROUP,
    KafkaError._PARTITION_EOF: FaultKind.END_OF_PARTITION,
    KafkaError.OFFSET_OUT_OF_RANGE: FaultKind.GONE,
    KafkaError._UNKNOWN_TOPIC: FaultKind.GONE,
    KafkaError._UNKNOWN_PARTITION: FaultKind.GONE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: FaultKind.GONE,
    KafkaError.MSG_SIZE_TOO_LARGE: FaultKind.TOO_LARGE,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: FaultKind.FORBIDDEN,
    KafkaError.GROUP_AUTHORIZATION_FAILED: FaultKind.FORBIDDEN,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: FaultKind.FORBIDDEN,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: FaultKind.FORBIDDEN,
} | dict.fromkeys(_PASSING, FaultKind.PASSING)


_NOT_THERE = (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE)
_NOT_THERE_TEXTS = tuple(KafkaError(code).str() for code in _NOT_THERE)


@dataclass(frozen=True, slots=True)
class KafkaFault:
    """One error of the client. `name` is librdkafka's (`MSG_SIZE_TOO_LARGE`), `text` is for people."""

    kind: FaultKind
    name: str
    text: str

    @property
    def is_fatal(self) -> bool:
        return self.kind is FaultKind.FATAL

    @property
    def word(self) -> str:
        """The kind in a word, for a metric."""
        return self.kind.name.lower()

    def __str__(self) -> str:
        return self.text


class KafkaFailure(SightlineError):
    """A call to Kafka failed; `fault` says whether the same call may succeed later."""

    def __init__(self, fault: KafkaFault) -> None:
        self.fault = fault
        super().__init__(fault.text)


def raise_if_final(fault: KafkaFault) -> None:
    """Raises Stalled for a fault of a consumer that does not pass: the client has ended, or a right is missing."""
    if fault.is_fatal:
        raise Stalled(f"the Kafka consumer cannot go on: {fault}")
    if fault.kind is FaultKind.FORBIDDEN:
        raise Stalled(
            f"the Kafka broker refuses this user: {fault}. `sightline doctor` names the right that is missing"
        )


def is_fatal(error: KafkaError) -> bool:
    """The client will never work again. A consumer's messages tell it by a code, not by the flag."""
    return error.fatal() or error.code() == KafkaError._FATAL


def lacks_group_protocol(error: KafkaError) -> bool:
    """The brokers do not have the group protocol of KIP-848: they are older, or it is switched off there.

    A consumer's fatal message carries the cause in its text only.
    """
    return error.code() in _NOT_THERE or (is_fatal(error) and any(text in error.str() for text in _NOT_THERE_TEXTS))


def fault_of(error: KafkaError) -> KafkaFault:
    if is_fatal(error):
        kind = FaultKind.FATAL
    else:
        kind = _KINDS.get(error.code(), FaultKind.PASSING if error.retriable() else FaultKind.OTHER)
    return KafkaFault(kind, error.name(), error.str())


# What names the cause best, of all that a client reports while it finds no broker.
_TELLING = (KafkaError._SSL, KafkaError._AUTHENTICATION, KafkaError._RESOLVE, KafkaError._TRANSPORT)
_WHERE = re.compile(r"^[^ ]*://[^ ]*: |^[^ ]+/(bootstrap|\d+): | \(after \d+ms in state \w+[^)]*\)")


class HeardErrors:
    """An `error_cb` that keeps the errors of a client without a connection, at most one of each kind."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def __call__(self, error: KafkaError) -> None:
        self._texts[error.code()] = error.str()

    def reason(self, otherwise: KafkaError) -> str:
        """Why there is no connection, as far as the client told; else what the call that failed says."""
        told = next((self._texts[code] for code in _TELLING if code in self._texts), otherwise.str())
        return _WHERE.sub("", told).rstrip(".")

    @property
    def is_refusal(self) -> bool:
        """A broker answers at the address, and certificate, protocol or user do not suit."""
        return bool({KafkaError._SSL, KafkaError._AUTHENTICATION} & self._texts.keys())


def failure_of(error: confluent_kafka.KafkaException) -> KafkaFailure:
    return KafkaFailure(fault_of(error.args[0]))
