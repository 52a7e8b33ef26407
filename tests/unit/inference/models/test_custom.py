"""Custom models: a spec names the factory."""

from dataclasses import replace
from typing import Any, cast

import pytest

from inference.models import InputSpec, ModelInfo, describe_model, load_model
from inference.models.null import INFO, NullModel
from infra.settings import InferSettings
from schemas.errors import ConfigError
from schemas.records import PixelEncoding


def test_a_model_of_ones_own_is_named_by_its_factory() -> None:
    assert load_model("tests.support.models:Failing", InferSettings()).ref == describe_model("null").ref
    assert describe_model("tests.support.models:Failing") == describe_model("null")


@pytest.mark.parametrize("spec", ["tests.support.models:Nothing", "no.such.module:Model", "os:path", ":"])
def test_a_spec_that_leads_nowhere_is_named(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"infer\.model"):
        load_model(spec, InferSettings())


class Custom(NullModel):
    """A factory whose `info` the tests replace."""

    info = INFO

    def __init__(self, settings: InferSettings) -> None:
        super().__init__(settings.top_k, type(self).info)


SPEC = f"{__name__}:Custom"


def said_of(info: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said to a stage that only describes the model, and the same to one that loads it."""
    monkeypatch.setattr(Custom, "info", info)
    with pytest.raises(ConfigError) as described:
        describe_model(SPEC)
    with pytest.raises(ConfigError) as loaded:
        load_model(SPEC, InferSettings())
    assert str(described.value) == str(loaded.value)
    return str(described.value)


@pytest.mark.parametrize("field", ["width", "height", "resize"])
@pytest.mark.parametrize("value", [0, -1, 1_000_000, 224.0, "224", None, True, float("nan")])
def test_a_size_that_cannot_be_is_refused_by_its_name(field: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(replace(INFO, input=replace(INFO.input, **{field: value})), monkeypatch)
    assert SPEC in said and f"info.input.{field} must be a whole number" in said and repr(value) in said


@pytest.mark.parametrize("value", [PixelEncoding.JPEG, "I420", None, 3])
def test_an_encoding_without_a_fixed_size_is_refused(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(replace(INFO, input=replace(INFO.input, encoding=value)), monkeypatch)
    assert "info.input.encoding must be PixelEncoding.I420 or PixelEncoding.RGB24" in said


def test_one_pixel_is_refused_because_its_encodings_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "one pixel" in said_of(replace(INFO, input=InputSpec(1, 1, 1)), monkeypatch)
    monkeypatch.setattr(Custom, "info", replace(INFO, input=InputSpec(1, 2, 1)))
    assert load_model(SPEC, InferSettings()).input == InputSpec(1, 2, 1)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"input": None}, "info.input must be an InputSpec"),
        ({"input": (224, 224, 256)}, "info.input must be an InputSpec"),
        ({"ref": "me"}, "info.ref must be a ModelRef"),
        ({"ref": replace(INFO.ref, version="")}, "info.ref.version must not be empty"),
        ({"ref": replace(INFO.ref, name=cast(Any, None))}, "info.ref.name must hold text"),
        ({"ref": replace(INFO.ref, name="\ud800")}, "info.ref.name must be at most 1024 bytes of UTF-8"),
        ({"ref": replace(INFO.ref, calibration="c" * 2000)}, "info.ref.calibration must be at most 1024 bytes"),
        ({"classes": ()}, "info.classes must have"),
        ({"classes": None}, "info.classes must have"),
        ({"classes": (("0", "cat", "x"),)}, r"info.classes[0] must be (class_id, name)"),
        ({"classes": (("0", "cat"), (1, "dog"))}, "info.classes[1] must hold text"),
        ({"classes": (("0", "cat"), ("0", "dog"))}, "info.classes[1] needs a class_id that no other class has"),
        ({"classes": (("", "cat"),)}, "info.classes[0] needs a class_id"),
    ],
)
def test_what_a_model_says_of_itself_is_checked(
    changes: dict[str, Any], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fault in said_of(replace(INFO, **changes), monkeypatch)


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = said_of(replace(INFO, input=InputSpec(0, -5, 256), classes=()), monkeypatch)
    assert all(f"info.{field}" in said for field in ("input.width", "input.height", "classes"))


def test_a_model_that_differs_from_what_its_factory_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream stage would prepare pixels that the worker refuses frame by frame."""

    class Other(Custom):
        def __init__(self, settings: InferSettings) -> None:
            super().__init__(settings)
            self.info = replace(INFO, input=InputSpec(299, 299, 331))

    monkeypatch.setattr(f"{__name__}.Custom", Other)
    with pytest.raises(ConfigError, match=r"info\.input of the loaded model"):
        load_model(SPEC, InferSettings())


def test_what_is_no_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        info = INFO

        def __init__(self, settings: InferSettings) -> None: ...

    monkeypatch.setattr(f"{__name__}.Custom", Nothing)
    with pytest.raises(ConfigError, match="it lacks ref, input, classes, runtime, warm, run"):
        load_model(SPEC, InferSettings())
