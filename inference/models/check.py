"""What a model says of itself, checked before anything is opened: a custom one may say anything. Pure."""

from collections.abc import Iterator
from dataclasses import fields

from inference.models.base import InputSpec, ModelInfo
from schemas.errors import ConfigError
from schemas.fields import MAX_ID_BYTES
from schemas.records import ModelRef, PixelEncoding

# Larger inputs fit neither into a record of Kafka nor, a run of them, into memory.
MAX_SIDE, MAX_RESIZE = 4096, 16_384


def require_sound(info: ModelInfo, who: str) -> None:
    """Raises ConfigError with everything that is wrong, each fault with the name of its field."""
    if faults := [f"{who}: {fault}" for fault in _faults(info)]:
        raise ConfigError(*faults)


def require_same(loaded: ModelInfo, described: ModelInfo, who: str) -> None:
    """The stream stage prepares pixels for the model as `describe_model` has it, and labels from the cache name it.

    Raises ConfigError with the first field in which the loaded model differs.
    """
    for field in fields(ModelInfo):
        one, other = getattr(loaded, field.name), getattr(described, field.name)
        if one != other:
            raise ConfigError(f"{who}: info.{field.name} of the loaded model is not that of its factory: {_short(one)}")


def _faults(info: ModelInfo) -> Iterator[str]:
    yield from _ref_faults(info.ref)
    yield from _input_faults(info.input)
    yield from _class_faults(info.classes)


def _ref_faults(ref: object) -> Iterator[str]:
    if not isinstance(ref, ModelRef):
        yield f"info.ref must be a ModelRef, not {_short(ref)}"
        return
    for field in fields(ref):
        value = getattr(ref, field.name)
        yield from _text_faults(f"info.ref.{field.name}", value)
        if value == "":
            yield f"info.ref.{field.name} must not be empty"


def _input_faults(spec: object) -> Iterator[str]:
    if not isinstance(spec, InputSpec):
        yield f"info.input must be an InputSpec, not {_short(spec)}"
        return
    for name, most in (("width", MAX_SIDE), ("height", MAX_SIDE), ("resize", MAX_RESIZE)):
        value = getattr(spec, name)
        if type(value) is not int or not 1 <= value <= most:
            yield f"info.input.{name} must be a whole number (int) from 1 to {most}, not {_short(value)}"
    if (spec.width, spec.height) == (1, 1):
        yield "info.input.width and info.input.height are both 1: one pixel is as long in I420 as in RGB24"
    if spec.encoding not in (PixelEncoding.I420, PixelEncoding.RGB24) or not isinstance(spec.encoding, PixelEncoding):
        yield f"info.input.encoding must be PixelEncoding.I420 or PixelEncoding.RGB24, not {_short(spec.encoding)}"


def _class_faults(classes: object) -> Iterator[str]:
    if not isinstance(classes, tuple | list) or not classes:
        yield f"info.classes must have a (class_id, name) for each class, not {_short(classes)}"
        return
    seen = set[str]()
    for number, each in enumerate(classes):
        field = f"info.classes[{number}]"
        if not isinstance(each, tuple | list) or len(each) != 2:
            yield f"{field} must be (class_id, name), not {_short(each)}"
            return
        faults = [*_text_faults(field, each[0]), *_text_faults(field, each[1])]
        if not faults and (each[0] == "" or each[0] in seen):
            faults = [f"{field} needs a class_id that no other class has, not {each[0]!r}"]
        if faults:  # the first of thousands that may be wrong in the same way
            yield faults[0]
            return
        seen.add(each[0])


def _text_faults(field: str, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{field} must hold text (str), not {_short(value)}"
    elif len(value.encode(errors="surrogatepass")) > MAX_ID_BYTES or value != value.encode(errors="ignore").decode():
        yield f"{field} must be at most {MAX_ID_BYTES} bytes of UTF-8, not {_short(value)}"


def _short(value: object) -> str:
    return f"{value!r:.80}"
