"""The final count: compares every acknowledged frame with every outcome. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import astuple, dataclass, field

from schemas.coordinates import Coordinates
from sinks.base.dedupe import Deduplicator
from tests.faults.outcomes import Outcome
from tests.faults.sender import Sent


@dataclass
class Ledger:
    """`frames`: how many were acknowledged; `written`: how many are on the topic, also without an acknowledgement.

    `lost`: frames without an outcome; `gone`: acknowledged frames that are not on the topic;
    `duplicates`: second and further outcomes of a frame; `duplicates_left`: those that deduplication did not recognise;
    `both`: frames with a label and a dead letter; `foreign`: outcomes of frames that do not exist;
    `untrue`: dead letters with a wrong reason, and poison that was labelled;
    `nowhere`: acknowledged without an offset, and not found on the topic by their content either;
    `retried`: frames that went through the retry topic; like labels from the cache, theirs may come out of order.
    """

    frames: int = 0
    written: int = 0
    labels: int = 0
    dead: int = 0
    lost: list[Coordinates] = field(default_factory=list)
    gone: list[Coordinates] = field(default_factory=list)
    duplicates: int = 0
    duplicates_left: int = 0
    out_of_order: int = 0
    both: int = 0
    foreign: int = 0
    untrue: list[str] = field(default_factory=list)
    nowhere: int = 0
    retried: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> list[str]:
        """Every broken promise in words; empty when there is none."""
        checks = {
            "frames without an outcome": len(self.lost),
            "acknowledged frames that Kafka does not have": len(self.gone) + self.nowhere,
            "duplicates that deduplication let pass": self.duplicates_left,
            "labels out of order": self.out_of_order,
            "outcomes of frames that do not exist": self.foreign,
            "dead letters or labels that are not true": len(self.untrue),
        }
        found = [f"{count} {what}" for what, count in checks.items() if count]
        return found + [str(place) for place in self.lost[:10]] + self.untrue[:10]


def count(
    acknowledged: Mapping[Coordinates, Sent],
    written: Set[Coordinates],
    retried: Set[Coordinates],
    outcomes: Iterable[Outcome],
) -> Ledger:
    """Takes the outcomes in the order of their offsets, so that the labels of one source keep their order."""
    ledger = Ledger(frames=len(acknowledged), written=len(written), retried=len(retried))
    seen: Counter[tuple[Coordinates, str | None]] = Counter()
    labelled: set[Coordinates] = set()
    dead: set[Coordinates] = set()
    order = _Order()
    deduplicator = Deduplicator()
    passed: Counter[tuple[Coordinates, str | None]] = Counter()
    for outcome in outcomes:
        key = (outcome.source, outcome.replay_id)
        seen[key] += 1
        if outcome.label is None:
            dead.add(outcome.source)
            ledger.reasons[f"{outcome.stage}: {outcome.reason}"] += 1
        else:
            labelled.add(outcome.source)
            place = *outcome.source.topic_partition, outcome.source.offset
            if deduplicator.is_first(*place, outcome.replay_id, outcome.label.frame_id):
                passed[key] += 1
                ledger.out_of_order += outcome.source not in retried and order.is_late(outcome)
        _judge(ledger, outcome, acknowledged.get(outcome.source))
    found = labelled | dead
    ledger.labels, ledger.dead, ledger.both = len(labelled), len(dead), len(labelled & dead)
    ledger.lost = sorted((written | acknowledged.keys()) - found, key=astuple)
    ledger.gone = sorted(acknowledged.keys() - written, key=astuple)
    ledger.foreign = len(found - written)
    ledger.duplicates = sum(seen.values()) - len(seen)
    ledger.duplicates_left = sum(passed.values()) - len(passed)
    return ledger


def _judge(ledger: Ledger, outcome: Outcome, sent: Sent | None) -> None:
    if sent is None:
        return
    if outcome.label is not None and sent.reason is not None:
        ledger.untrue.append(f"{outcome.source} is poison ({sent.reason}) and was labelled")
    if outcome.label is None and outcome.reason != sent.reason:
        ledger.untrue.append(
            f"{outcome.source} died of {outcome.stage}/{outcome.reason}, but is {sent.reason or 'sound'}"
        )


class _Order:
    """Checks that labels of origin MODEL come in capture order per source; cached labels may overtake them."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], int] = {}

    def is_late(self, outcome: Outcome) -> bool:
        label = outcome.label
        if label is None or not outcome.from_model:
            return False
        # frame_id is <source_id>/<stream_epoch>/<frame_seq>.
        source_id, epoch, seq = label.frame_id.rsplit("/", 2)
        key = (source_id, int(epoch))
        late = int(seq) <= self._last.get(key, -1)
        self._last[key] = max(self._last.get(key, -1), int(seq))
        return late
