"""Samples of more than 8 bits, as sensors give them, brought to 8 bits.

A thermal camera of 14 bits writes values of 7000 to 9200 into 16 bits: the upper 8 bits of them are 8 steps of nearly
black. So the range that a picture holds, or the range that a setting names, is spread over 0 to 255.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WHITE_MAX = 65535
# A hot or a dead pixel of a sensor must not decide the range: this share at either end is clipped.
CLIPPED_SHARE = 0.001
# A picture with fewer steps than this is flat, and spreading them would show noise. It keeps its brightness.
FLAT_STEPS_MAX = 32
SAMPLES_FOR_RANGE = 1 << 19
_SAMPLES_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class SampleRange:
    """Which values become 0 and 255: those named, or for None the range of the picture.

    `full`: the values from 0 to the white of the file.
    """

    named: tuple[int, int] | None = None
    full: bool = False

    @classmethod
    def parse(cls, text: str) -> "SampleRange":
        """From `auto`, `full` or `LOW-HIGH`, as the setting `stream.sample_range` has it."""
        if text == "auto":
            return cls()
        if text == "full":
            return cls(full=True)
        low, high = map(int, text.split("-"))
        return cls((low, high))


AUTO = SampleRange()


def eight_bits(samples: npt.NDArray[np.uint16], white: int, wanted: SampleRange) -> npt.NDArray[np.uint8]:
    """Of at least two dimensions and of any byte order."""
    step = max(1, round((samples.size / SAMPLES_FOR_RANGE) ** 0.5))
    return looked_up(samples, eight_bit_table(samples[::step, ::step], white, wanted))


def looked_up(samples: npt.NDArray[np.integer], table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`table[samples]`, a part at a time: the indices of all at once take 8 bytes a sample."""
    flat = samples.reshape(-1)
    scaled = np.empty(flat.size, np.uint8)
    for at in range(0, flat.size, _SAMPLES_AT_ONCE):
        scaled[at : at + _SAMPLES_AT_ONCE] = table[flat[at : at + _SAMPLES_AT_ONCE]]
    return scaled.reshape(samples.shape)


def eight_bit_table(some: npt.NDArray[np.uint16], white: int, wanted: SampleRange) -> npt.NDArray[np.uint8]:
    """What each of the 65,536 values becomes in a picture of which these are some samples, enough to know its range.

    All channels share one range, so that colours stay as they are.
    """
    low, high = _range_of_integers(some.reshape(-1), white, wanted)
    steps = np.arange(WHITE_MAX + 1, dtype=np.float64)
    return np.clip((steps - low) * (255.0 / (high - low)) + 0.5, 0, 255).astype(np.uint8)


def eight_bits_of_wide(values: npt.NDArray[np.generic], wanted: SampleRange) -> npt.NDArray[np.uint8]:
    """Of 32-bit integers and floats. Where all lie below 255, or 1 for floats, that is white.

    Floats up to 255 may also be temperatures: a named range holds for them. What is no number, such as a dead pixel,
    has no part in the range and becomes black.
    """
    samples = values.astype(np.float32)
    is_number = np.isfinite(samples)
    numbers = samples[is_number]
    if not numbers.size:
        return np.zeros(samples.shape, np.uint8)
    low, high = _range_of_wide(numbers, values.dtype.kind == "f", wanted)
    samples = np.nan_to_num(samples, nan=low, posinf=low, neginf=low)
    return np.asarray(np.clip((samples - low) * (255.0 / (high - low)), 0, 255).round(), dtype=np.uint8)


def _range_of_wide(numbers: npt.NDArray[np.float32], is_float: bool, wanted: SampleRange) -> tuple[float, float]:
    low, high = float(numbers.min()), float(numbers.max())
    whites = (255.0,) if not is_float else (1.0,) if wanted.named else (1.0, 255.0)
    for white in whites:
        if low >= 0 and high <= white:
            return 0.0, white
    if low >= 0 and high <= WHITE_MAX and not is_float:
        return _range_of_integers(_some(numbers).astype(np.uint16), WHITE_MAX, wanted)
    if wanted.named is not None:
        return wanted.named
    if not wanted.full:
        low, high = map(float, np.quantile(_some(numbers), (CLIPPED_SHARE, 1 - CLIPPED_SHARE), method="nearest"))
    elif low >= 0 and high <= WHITE_MAX:
        low, high = 0.0, float(WHITE_MAX)
    return low, max(high, low + 1.0)


def _some(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return numbers[:: max(1, numbers.size // SAMPLES_FOR_RANGE)]


def _range_of_integers(some: npt.NDArray[np.uint16], white: int, wanted: SampleRange) -> tuple[int, int]:
    if wanted.named is not None:
        return wanted.named
    if wanted.full:
        return 0, white
    counts = np.cumsum(np.bincount(some.astype(np.int64), minlength=WHITE_MAX + 1))
    low = int(np.searchsorted(counts, some.size * CLIPPED_SHARE, side="right"))
    high = int(np.searchsorted(counts, some.size * (1 - CLIPPED_SHARE), side="left"))
    return (low, high) if high - low >= FLAT_STEPS_MAX else (0, white)
