"""The scope of cached labels: each thing that an answer depends on has a part in the key, and no two keys are alike."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import cv2
import PIL
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from inference.cache import scope as scope_module
from inference.cache.scope import CacheScope, preparation_of
from inference.image import SampleRange, Size, preparation
from inference.image.preparation import preparation_id
from inference.image.quality import RULES
from inference.models import InputSpec, ModelInfo
from inference.models.null import INFO
from infra.settings import Settings
from schemas.canonical import digest_of, is_digest
from schemas.records import ModelRef, PixelEncoding


def scope(info: ModelInfo = INFO, **sections: Any) -> CacheScope:
    return CacheScope.of(Settings.model_validate(sections), info)


def with_ref(**changes: str) -> CacheScope:
    return scope(replace(INFO, ref=replace(INFO.ref, **changes)))


def with_input(**changes: Any) -> CacheScope:
    return scope(replace(INFO, input=replace(INFO.input, **changes)))


CHANGED: dict[str, Callable[[], CacheScope]] = {
    "ref.name": lambda: with_ref(name="other"),
    "ref.version": lambda: with_ref(version="2"),
    "ref.calibration": lambda: with_ref(calibration="t1.4"),
    "input.width": lambda: with_input(width=225),
    "input.height": lambda: with_input(height=225),
    "input.resize": lambda: with_input(resize=257),
    "input.encoding": lambda: with_input(encoding=PixelEncoding.RGB24),
    "classes: another name": lambda: scope(replace(INFO, classes=(("0", "other"), *INFO.classes[1:]))),
    "classes: another order": lambda: scope(replace(INFO, classes=INFO.classes[::-1])),
    "infer.model: runtime": lambda: scope(infer={"model": "efficientnet-lite0@torch"}),
    "infer.precision": lambda: scope(infer={"precision": "f32"}),
    "stream.encoding RGB24": lambda: scope(stream={"encoding": "RGB24"}),
    "stream.encoding JPEG": lambda: scope(stream={"encoding": "JPEG"}),
    "stream.sample_range full": lambda: scope(stream={"sample_range": "full"}),
    "stream.sample_range named": lambda: scope(stream={"sample_range": "7000-9200"}),
    "a replay": lambda: scope().of_replay("r1"),
    "another replay": lambda: scope().of_replay("r2"),
    "stream.sample_range other": lambda: scope(stream={"sample_range": "7000-9201"}),
}
KEPT: dict[str, Callable[[], CacheScope]] = {
    "infer.min_probability": lambda: scope(infer={"min_probability": 0.9}),
    "infer.top_k": lambda: scope(infer={"top_k": 1}),
    "stream.decoders": lambda: scope(stream={"decoders": 7}),
    "stream.max_image_pixels": lambda: scope(stream={"max_image_pixels": 1_000_000}),
}


@pytest.mark.parametrize("name", CHANGED)
def test_each_thing_that_changes_an_answer_changes_the_key(name: str) -> None:
    assert CHANGED[name]().key() != scope().key()


def test_no_two_of_them_have_one_key() -> None:
    assert len({made().key() for made in CHANGED.values()}) == len(CHANGED)


@pytest.mark.parametrize("name", KEPT)
def test_what_changes_no_answer_keeps_the_cache(name: str) -> None:
    assert KEPT[name]().key() == scope().key()


def test_no_field_of_a_model_is_forgotten() -> None:
    """A field that is added to one of these needs a row above."""
    covered = {name.partition(":")[0] for name in CHANGED}
    assert {f"ref.{field.name}" for field in fields(ModelRef)} <= covered
    assert {f"input.{field.name}" for field in fields(InputSpec)} <= covered
    assert {field.name for field in fields(ModelInfo)} == {"ref", "input", "classes"}


def test_another_spelling_of_a_range_is_the_same_range() -> None:
    padded = scope(stream={"sample_range": "07000-9200"})
    assert padded.key() == scope(stream={"sample_range": "7000-9200"}).key()


@pytest.mark.parametrize("rule", list(RULES))
def test_each_rule_of_quality_changes_the_key(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scope().key()
    monkeypatch.setitem(RULES, rule, -1.0)
    assert scope().key() != before


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (preparation, "PIXELS_VERSION", -1),
        (scope_module, "SCOPE_VERSION", -1),
        (cv2, "__version__", "9"),
        (PIL, "__version__", "9"),
        (simplejpeg, "__version__", "9"),
    ],
)
def test_each_version_changes_the_key(module: Any, name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scope().key()
    monkeypatch.setattr(module, name, value)
    assert scope().key() != before


def test_pixels_that_were_made_in_another_way_have_a_scope_of_their_own() -> None:
    jpeg = preparation_of(Settings(), INFO, PixelEncoding.JPEG)
    assert scope().prepared_by(jpeg) == scope(stream={"encoding": "JPEG"})
    assert scope().prepared_by(preparation_of(Settings(), INFO)) == scope()


words = st.text(st.sampled_from('ab:-"{},\\\n€\ud83d\ude00😀'), max_size=6)
infos = st.builds(
    lambda name, version, calibration, width, classes: ModelInfo(
        ModelRef(name, version, calibration), InputSpec(width, 224, 256), tuple(classes)
    ),
    words,
    words,
    words,
    st.integers(1, 3),
    st.lists(st.tuples(words, words), max_size=2),
)
scopes = st.builds(CacheScope, infos, words, words, words)


@given(scopes, scopes)
def test_two_scopes_never_have_one_key(one: CacheScope, other: CacheScope) -> None:
    assert (one.key() == other.key()) == (one == other)


@given(st.lists(words, min_size=8, max_size=8), st.integers(0, 6), st.data())
def test_no_text_can_move_from_one_field_into_its_neighbour(texts: list[str], at: int, data: st.DataObject) -> None:
    """As `a:b` + `c` and `a` + `b:c` would under a key that is put together with colons."""
    both = texts[at] + texts[at + 1]
    cut = data.draw(st.integers(0, len(both)))
    moved = [*texts[:at], both[:cut], both[cut:], *texts[at + 2 :]]

    def made(parts: list[str]) -> CacheScope:
        name, version, calibration, class_id, title, runtime, precision, prepared = parts
        ref = ModelRef(name, version, calibration)
        return CacheScope(ModelInfo(ref, INFO.input, ((class_id, title),)), runtime, precision, prepared)

    assert (made(moved).key() == made(texts).key()) == (moved == texts)


@given(st.tuples(*[st.integers(1, 400)] * 3), st.tuples(*[st.integers(1, 400)] * 3))
def test_two_sizes_never_have_one_preparation(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    ids = [preparation_id(Size(*each), PixelEncoding.I420, SampleRange()) for each in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)


def test_a_digest_is_of_the_values_and_not_of_their_order() -> None:
    assert digest_of({"a": 1, "b": (2, 3)}) == digest_of({"b": [2, 3], "a": 1})
    assert len({digest_of({"a": each}) for each in (1, "1", True, 1.5, None, [1], "")}) == 7
    assert is_digest(digest_of({})) and not is_digest("x" * 32) and not is_digest("")
    with pytest.raises(ValueError, match="JSON"):
        digest_of({"a": float("nan")})
