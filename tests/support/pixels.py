"""Rows of a model's input back as pictures, in full precision, to compare with what they were made of."""

import numpy as np
import numpy.typing as npt

from schemas.records import PixelEncoding

Picture = npt.NDArray[np.float64]


def picture_of(row: npt.NDArray[np.uint8], encoding: PixelEncoding, width: int, height: int) -> Picture:
    """RGB, [height, width, 3] in 0..255, by the equations of inference/image/color.py."""
    if encoding is PixelEncoding.RGB24:
        return row.reshape(height, width, 3).astype(np.float64)
    across, down = (width + 1) // 2, (height + 1) // 2
    area = width * height
    assert len(row) == area + 2 * across * down
    luma = row[:area].reshape(height, width).astype(np.float64)
    u, v = (
        np.array([[plane[y // 2, x // 2] for x in range(width)] for y in range(height)])
        for plane in row[area:].reshape(2, down, across).astype(np.float64) - 128
    )
    return _rgb(1.163999557 * (luma - 16), u, v)


def through_i420(picture: Picture) -> Picture:
    """The picture with the colour of the upper left pixel of each 2 x 2 block, as I420 has it, without any rounding."""
    luma = picture @ (0.256999969, 0.50399971, 0.09799957)
    corners = picture[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)[: len(picture), : len(picture[0])]
    u = corners @ (-0.148000002, -0.290999770, 0.438999176)
    v = corners @ (0.438999176, -0.367999077, -0.070999146)
    return _rgb(1.163999557 * luma, u, v)


def _rgb(bright: Picture, u: Picture, v: Picture) -> Picture:
    channels = (bright + 1.595999718 * v, bright - 0.812999725 * v - 0.390999794 * u, bright + 2.017999649 * u)
    return np.clip(np.stack(channels, axis=2), 0, 255)


def scene(x: Picture, y: Picture) -> Picture:
    """A picture as a function of the place, both in 0..1. It is linear, so that no good way of scaling changes it."""
    red = 60 + 130 * x + 0 * y
    green = 200 - 120 * y + 0 * x
    blue = 50 + 80 * x + 60 * y
    return np.stack(np.broadcast_arrays(red, green, blue), axis=2)


def scene_picture(width: int, height: int) -> npt.NDArray[np.uint8]:
    """The scene at the middle of each pixel."""
    x = (np.arange(width)[None, :] + 0.5) / width
    y = (np.arange(height)[:, None] + 0.5) / height
    return scene(x, y).round().astype(np.uint8)


def scene_cut(source: tuple[int, int], width: int, height: int, resize: int) -> Picture:
    """What a model of this input should see of a scene of `source` pixels (width, height), computed without pixels."""
    scale = min(source) / resize
    box = (min(source[0], width * scale), min(source[1], height * scale))
    left, top = (source[0] - box[0]) / 2, (source[1] - box[1]) / 2
    x = (left + (np.arange(width)[None, :] + 0.5) * box[0] / width) / source[0]
    y = (top + (np.arange(height)[:, None] + 0.5) * box[1] / height) / source[1]
    return scene(x, y)
