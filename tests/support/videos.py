"""Small videos made by the test itself: numbered frames, so that a test can tell which ones came through."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 160, 120
LEVEL_STEP = 4


def write_video(path: Path, frames: int = 30, per_s: float = 10.0) -> Path:
    """Motion JPEG; frame n is grey of level 4 n, which `number_of` reads back."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), per_s, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), number * LEVEL_STEP % 256, np.uint8))
    writer.release()
    return path


def number_of(jpeg: bytes) -> int:
    """Which frame of `write_video` this is (of the first 64)."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    return round(float(pixels.mean()) / LEVEL_STEP)
