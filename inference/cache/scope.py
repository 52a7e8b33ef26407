"""The scope of a cached label: everything beside the bytes of its image that it depends on. Pure.

`infer.min_probability` is not a part of it, because every hit is decided anew; nor is `infer.top_k`, because a value
holds as many predictions as were stored, and too few are a miss.
"""

from dataclasses import asdict, dataclass, replace

from inference.image import SampleRange
from inference.image.preparation import preparation_id
from inference.models.base import ModelInfo
from infra.settings import Settings
from schemas.canonical import digest_of
from schemas.records import PixelEncoding

# Raise it when what a label depends on is found to be more than this.
SCOPE_VERSION = 1


@dataclass(frozen=True, slots=True)
class CacheScope:
    """`runtime` and `precision` are those of the settings: what `auto` becomes on each worker, no other process knows.

    `preparation` is the digest of how the pixels were made (`image/preparation.py`). `replay_id`: labels of a replay
    are found by this replay alone, or the past would be compared with itself.
    """

    model: ModelInfo
    runtime: str
    precision: str
    preparation: str
    replay_id: str | None = None

    @classmethod
    def of(cls, settings: Settings, model: ModelInfo) -> "CacheScope":
        """That of a process with these settings: the one that the stream stage looks labels up in."""
        runtime = settings.infer.model.partition("@")[2]
        return cls(model, runtime, settings.infer.precision, preparation_of(settings, model))

    def prepared_by(self, preparation: str) -> "CacheScope":
        """The same for pixels that were made in another way."""
        return replace(self, preparation=preparation)

    def of_replay(self, replay_id: str | None) -> "CacheScope":
        """The same for labels of that replay; None: of no replay."""
        return replace(self, replay_id=replay_id)

    def key(self) -> str:
        """32 hex digits, the same for equal scopes only."""
        of_replay = {} if self.replay_id is None else {"replay_id": self.replay_id}
        return digest_of(
            {
                "scope": SCOPE_VERSION,
                "model": asdict(self.model.ref),
                "input": asdict(self.model.input),
                "classes": self.model.classes,
                "runtime": self.runtime,
                "precision": self.precision,
                "preparation": self.preparation,
                **of_replay,
            }
        )


def preparation_of(settings: Settings, model: ModelInfo, encoding: PixelEncoding | None = None) -> str:
    """How a process with these settings makes pixels for the model, in `stream.encoding` unless another is given."""
    wanted = encoding or PixelEncoding(settings.stream.encoding)
    return preparation_id(model.input, wanted, SampleRange.parse(settings.stream.sample_range))
