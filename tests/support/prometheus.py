"""A real Prometheus and a real Alertmanager, where they are installed."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.monitoring.config import RULES, alertmanager_config, prometheus_config
from infra.process.ports import find_ports
from infra.process.supervise import http_get

WITHIN_S = 60.0


def until(holds: Callable[[], bool], why: Callable[[], object] = lambda: "", within_s: float = WITHIN_S) -> None:
    """Ask twice a second; fails with what `why` says."""
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s, why()
        time.sleep(0.5)


def quick_rules(folder: Path) -> Path:
    """The shipped rules; what has to last minutes lasts seconds here, and nothing else is changed."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.update({name: "2s" for name in ("for", "keep_firing_for") if name in rule})
    path = folder / "rules.yml"
    path.write_text(json.dumps(rules))
    return path


@contextmanager
def prometheus_at(folder: Path, config: Mapping[str, Any]) -> Iterator[int]:
    """A Prometheus with this configuration, on the port that is yielded."""
    (folder / "prometheus.yml").write_text(json.dumps(config))
    words = [_program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with _running(words, folder / "prometheus.log") as port:
        yield port


@contextmanager
def alertmanager_at(folder: Path, webhooks: Sequence[str]) -> Iterator[int]:
    """An Alertmanager with the shipped routes and inhibitions, which tells these webhooks. Yields its port."""
    routes = yaml.safe_load(alertmanager_config(webhooks))
    routes["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    (folder / "alertmanager.yml").write_text(json.dumps(routes))
    words = [
        _program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        "--cluster.listen-address=",
    ]
    with _running(words, folder / "alertmanager.log") as port:
        yield port


@contextmanager
def monitoring(folder: Path, lag_port: int, webhook: str) -> Iterator[int]:
    """Both watch the lag monitor, with quick rules, and tell the webhook. Yields the port of Prometheus."""
    with alertmanager_at(folder, [webhook]) as alertmanager_port:
        config = json.loads(prometheus_config(lag_port, alertmanager_port))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(quick_rules(folder))]
        with prometheus_at(folder, config) as port:
            yield port


@contextmanager
def _running(words: Sequence[str], log_file: Path) -> Iterator[int]:
    [port] = find_ports(1)
    with log_file.open("wb") as log:
        process = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            until(lambda: http_get(port, "/-/ready", 1.0)[0] == 200, log_file.read_text)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed (a Debian package of that name)")
    return found
