"""What is dropped before it is encoded: smears of a broken stream, and scenes in which nothing moves."""

import cv2
import numpy as np
import pytest

from ingest.capture.pictures import Pixels, StillScene, fitted, is_smeared
from ingest.sources.parse import parse_sim
from ingest.sources.render import render

RNG = np.random.default_rng(1)


def scene(seed: int = 0) -> Pixels:
    return np.ascontiguousarray(render(parse_sim(f"coffee?seed={seed}"), 1.0), np.uint8)


def with_bottom(rows: int, bottom: Pixels) -> Pixels:
    picture = scene().copy()
    picture[-rows:] = bottom
    return picture


def test_grey_and_repeated_rows_below_are_a_smear() -> None:
    assert is_smeared(with_bottom(240, np.full((1, 640, 3), 130, np.uint8)))
    assert is_smeared(with_bottom(100, np.full((1, 640, 3), 128, np.uint8)))
    assert is_smeared(with_bottom(200, scene()[200:201]))
    assert is_smeared(np.full((480, 640, 3), 130, np.uint8)), "no key frame came at all"


@pytest.mark.parametrize("name", ["coffee", "cat", "rocket", "mix"])
def test_scenes_are_none(name: str) -> None:
    for at_s in range(0, 60, 3):
        assert not is_smeared(np.ascontiguousarray(render(parse_sim(name), float(at_s)), np.uint8))


def test_dark_bright_and_drawn_pictures_are_none() -> None:
    bars = np.repeat(np.arange(0, 256, 32, dtype=np.uint8), 80)[None, :, None].repeat(480, 0).repeat(3, 2)
    noisy_wall = np.clip(RNG.normal(129, 3, (480, 640, 3)), 0, 255).astype(np.uint8)
    for picture in (np.zeros((480, 640, 3), np.uint8), np.full((480, 640, 3), 255, np.uint8), bars, noisy_wall):
        assert not is_smeared(np.ascontiguousarray(picture))
    assert not is_smeared(with_bottom(100, np.full((1, 640, 3), 20, np.uint8))), "a dark band"


def test_the_longer_side_is_bounded_and_the_shape_kept() -> None:
    assert fitted(scene(), 320).shape == (240, 320, 3)
    assert fitted(scene(), 0) is not None
    assert fitted(scene(), 0).shape == fitted(scene(), 640).shape == fitted(scene(), 4000).shape == (480, 640, 3)


@pytest.mark.parametrize("as_jpeg", [False, True])
def test_a_still_scene_sends_one_picture_in_its_time_and_what_moves_is_sent(as_jpeg: bool) -> None:
    still = StillScene(10.0)

    def skips(picture: Pixels, at_s: float) -> bool:
        if not as_jpeg:
            return still.skips(picture, b"", at_s)
        return still.skips(None, cv2.imencode(".jpg", picture)[1].tobytes(), at_s)

    def noisy() -> Pixels:
        return np.clip(scene() + RNG.normal(0, 4, (480, 640, 3)), 0, 255).astype(np.uint8)

    assert [skips(noisy(), float(at_s)) for at_s in range(21)] == [at_s % 10 != 0 for at_s in range(21)]
    somebody = noisy()
    somebody[200:300, 300:360] = 20
    assert not skips(somebody, 21.0)
    assert not StillScene(0.0).skips(scene(), b"", 0.0)


def test_what_is_no_picture_is_not_skipped() -> None:
    still = StillScene(10.0)
    assert [still.skips(None, b"no jpeg", at_s) for at_s in (0.0, 1.0)] == [False, False]
