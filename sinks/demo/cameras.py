"""The cameras of a demo: the configuration of the camera agent, and the numbers of published frames that it reports."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import ConfigError

# Photos of classes that the model knows: espresso, tripod and daisy; `sim:mix` shows them in turn.
DEFAULT_SOURCES = ("sim:coffee", "sim:camera", "sim:flower", "sim:mix")
PUBLISHED = "sightline_source_frames_published_total"
# An address, a local camera, or something like them that may hold a password: the agent takes it or says what is wrong.
_NO_PATH = re.compile(r".*@|[^/]*:|/dev/|(?:usb|video|webcam)?\s?\d+$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cameras:
    """`config` is the path of the cameras.toml, which names environment variables; `environment` holds their values.

    Sources can contain passwords, so they are passed in the environment and not written to disk.
    """

    config: Path
    environment: dict[str, str]


def write_cameras(folder: Path, sources: Sequence[str], fps: float) -> Cameras:
    """Write a cameras.toml for `sightline camera --config`. Raises ConfigError when a source file does not exist."""
    faults = [f"source {source}: no such file or folder" for source in sources if _is_missing_file(source)]
    if faults:
        raise ConfigError(*faults)
    tables, environment, seen = [], {}, Counter[str]()
    for number, source in enumerate(sources, 1):
        name = f"DEMO_SOURCE_{number}"
        environment[name] = _absolute_path(source) or source
        lines = ["[[camera]]", f'source = "${{{name}}}"', f"fps = {float(fps)}", "loop = true"]
        seen[source] += 1
        if seen[source] > 1:
            lines.append(f'id = "camera-{number}"')
        tables.append("\n".join(lines) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "cameras.toml"
    config.write_text("\n".join(tables))
    return Cameras(config, environment)


def published_counts(metrics_text: str) -> dict[str, int]:
    """By source id, the frames that the broker acknowledged, from the text of the camera agent's /metrics."""
    return {
        sample.labels.get("source_id", ""): int(sample.value)
        for family in text_string_to_metric_families(metrics_text)
        for sample in family.samples
        if sample.name == PUBLISHED
    }


def _is_missing_file(source: str) -> bool:
    return not _NO_PATH.match(source) and _absolute_path(source) is None


def _absolute_path(source: str) -> str | None:
    """The whole path of the file or folder that a source names; None where it names none."""
    try:
        path = Path(source).expanduser()
        return str(path.absolute()) if path.exists() else None
    except (OSError, RuntimeError):  # too long for a path, or ~joe, and there is no such user
        return None
