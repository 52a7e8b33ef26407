"""Which labels `subscribe` selects. Pure."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.records import Decision, Label


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """A label passes when it meets every given criterion. Class and probability are those of the best prediction.

    Corrections, which are labels promoted from replays, pass only with `corrections`. Globs may contain `*`, `?` and
    `[...]`. Source ids are case-sensitive; class names and class ids are not.
    """

    source_id: str | None = None
    class_glob: str | None = None
    min_probability: float | None = None
    decision: Decision | None = None
    corrections: bool = False

    def passes(self, label: Label) -> bool:
        best = label.predictions[0] if label.predictions else None
        if label.revision > 0 and not self.corrections:
            return False
        if self.source_id is not None and not fnmatchcase(label.source_id, self.source_id):
            return False
        if self.decision is not None and label.decision is not self.decision:
            return False
        if self.min_probability is not None and (best is None or best.probability < self.min_probability):
            return False
        if self.class_glob is None:
            return True
        glob = self.class_glob.lower()
        return best is not None and (fnmatchcase(best.name.lower(), glob) or fnmatchcase(best.class_id.lower(), glob))
