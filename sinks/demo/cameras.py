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
_SCHEME = re.compile(r"^(sim:|usb:|[A-Za-z][A-Za-z0-9+.-]*://)")


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
        environment[name] = source if _SCHEME.match(source) else str(Path(source).expanduser().absolute())
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
    return not _SCHEME.match(source) and not Path(source).expanduser().exists()
