"""Simulated cameras: real photos, no network, the same pixels every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.render import render
from ingest.sources.sim import (
    GLIDE_S,
    MAX_ZOOM,
    MIX,
    MIX_NAMES,
    MIX_S,
    PHOTOS,
    REST_S,
    SimSpec,
    photo_at,
    photo_path,
    view_at,
)


@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_every_photo_is_in_the_installed_packages(name: str) -> None:
    assert photo_path(name).is_file()
    picture = render(SimSpec(name, 160, 120), 3.0)
    assert picture.shape == (120, 160, 3)
    assert picture.std() > 5


def test_the_same_pixels_for_the_same_camera_and_time() -> None:
    spec = SimSpec("coffee", 320, 240, seed=3)
    assert np.array_equal(render(spec, 2.7), render(spec, 2.7))
    assert not np.array_equal(render(spec, 2.7), render(SimSpec("coffee", 320, 240, seed=4), 2.7))


def test_a_resting_camera_gives_equal_frames_and_a_gliding_one_does_not() -> None:
    spec = SimSpec("flower", 320, 240)
    assert np.array_equal(render(spec, 0.1), render(spec, REST_S - 0.1))
    assert not np.array_equal(render(spec, REST_S + 1.0), render(spec, REST_S + 1.1))


def test_mix_shows_one_photo_after_another() -> None:
    shown = [photo_at(SimSpec(MIX), number * MIX_S + 1) for number in range(len(MIX_NAMES) + 1)]
    assert shown == [*MIX_NAMES, MIX_NAMES[0]]


@given(time_s=st.floats(min_value=0, max_value=1e6), seed=st.integers(min_value=0, max_value=1000))
def test_the_view_stays_inside_the_photo(time_s: float, seed: int) -> None:
    view = view_at(time_s, seed)
    assert 0 <= view.x <= 1
    assert 0 <= view.y <= 1
    assert 1 <= view.zoom <= MAX_ZOOM


@given(leg=st.integers(min_value=0, max_value=10_000), seed=st.integers(min_value=0, max_value=100))
def test_the_tour_has_no_jumps(leg: int, seed: int) -> None:
    turn_s = leg * (REST_S + GLIDE_S)
    before, after = view_at(max(0.0, turn_s - 1e-6), seed), view_at(turn_s, seed)
    assert before.x == pytest.approx(after.x, abs=1e-3)
    assert before.zoom == pytest.approx(after.zoom, abs=1e-3)
