"""Which labels a subscriber asked for. Pure."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.records import Decision, Label


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """A label passes when every criterion that is given holds; the class is that of the best prediction.

    Globs know `*`, `?` and `[...]`. Source ids are compared as they are, class names and ids without regard to case.
    """

    source_id: str | None = None
    class_glob: str | None = None
    min_probability: float | None = None
    decision: Decision | None = None

    def passes(self, label: Label) -> bool:
        best = label.predictions[0] if label.predictions else None
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
