"""Simulated cameras: a tour (rest, glide, rest) over the real photos that scikit-image and scikit-learn contain.

On one machine the same name, seed, size and time give the same pixels. No network is needed: the photos are files of
the installed wheels. While the camera rests, its frames are equal byte for byte, which a real camera's never are; this
is where the cache hits of a demonstration come from.
"""

import importlib.util
import random
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError

# name: (package, file). All of these files are inside the wheels; other photos of the packages are downloaded.
PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "camera": ("skimage", "data/camera.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "moon": ("skimage", "data/moon.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "page": ("skimage", "data/page.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
MIX = "mix"
# The photos that show an object which the model can name; each is shown for MIX_S seconds.
MIX_NAMES = ("coffee", "camera", "flower", "cat", "rocket", "china", "motorcycle", "astronaut")
MIX_S = 8.0

REST_S = 1.5
GLIDE_S = 2.5
MAX_ZOOM = 1.25


@dataclass(frozen=True, slots=True)
class SimSpec:
    """`name` is one of PHOTOS or `mix`."""

    name: str
    width: int = 640
    height: int = 480
    seed: int = 0


@dataclass(frozen=True, slots=True)
class CameraView:
    """Where the camera looks: `x` and `y` are 0..1 of the room that the view can move in; `zoom` 1 is the widest."""

    x: float
    y: float
    zoom: float


def names() -> list[str]:
    return [*sorted(PHOTOS), MIX]


def view_at(time_s: float, seed: int) -> CameraView:
    """The view at `time_s`: the camera rests at a preset, then glides to the next one. The first is the whole photo."""
    leg, within_s = divmod(time_s, REST_S + GLIDE_S)
    here, there = _preset(int(leg), seed), _preset(int(leg) + 1, seed)
    share = max(0.0, within_s - REST_S) / GLIDE_S
    eased = share * share * (3 - 2 * share)
    return CameraView(
        *(a + (b - a) * eased for a, b in ((here.x, there.x), (here.y, there.y), (here.zoom, there.zoom)))
    )


def _preset(number: int, seed: int) -> CameraView:
    if number == 0:
        return CameraView(0.5, 0.5, 1.0)
    rng = random.Random(f"{seed}/{number}")
    return CameraView(rng.random(), rng.random(), rng.uniform(1.0, MAX_ZOOM))


def photo_at(spec: SimSpec, time_s: float) -> str:
    """The photo that the camera looks at: always the same, or one after another for `mix`."""
    if spec.name != MIX:
        return spec.name
    return MIX_NAMES[(int(time_s / MIX_S) + spec.seed) % len(MIX_NAMES)]


def photo_path(name: str) -> Path:
    """The file of a photo, found without importing its package, which would take seconds. Raises ConfigError."""
    package, file = PHOTOS[name]
    found = importlib.util.find_spec(package)
    folders = found.submodule_search_locations if found else None
    if not folders:
        raise ConfigError(f"sim:{name} needs the package {package}, which is not installed")
    return Path(folders[0]) / file
