"""The commands that manage the services: up, down, status, topics create, config check."""

import json
import os
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from infra.commands.options import JsonOption
from infra.kafka.brokers import find_brokers
from infra.kafka.clients import bootstrap, overruled_keys
from infra.kafka.key_check import key_faults
from infra.kafka.stage_keys import stage_notes
from infra.kafka.start_checks import require_kafka
from infra.kafka.topic_admin import ensure_topics
from infra.local import stack
from infra.local.state import LocalState, read_state
from infra.process import logs
from infra.redis.client import redis_answers, redis_url
from infra.settings import LogSettings, Settings, home, load_settings
from infra.settings.mask import flat_settings, masked_url
from schemas.errors import ConfigError

Brokers = Annotated[int | None, typer.Option(help="1 or 3; fixed at the first start (default: 1).", show_default=False)]


def up(brokers: Brokers = None) -> None:
    """Start a local Kafka and Valkey in `.sightline/`; a service that runs already is left alone."""
    state = stack.up(home(), brokers, say=_tell)
    print(f"Kafka  {state.bootstrap_servers}")
    print(f"Redis  {state.redis_url}")
    for name in ("SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS", "SIGHTLINE_REDIS__URL"):
        if os.environ.get(name):
            _tell(f"note: {name} is set, so the other commands use that and not the local service")


def down() -> None:
    """Stop the local Kafka and Valkey; their data stays on disk."""
    print("stopped" if stack.down(home()) else "nothing was running")


def status(as_json: JsonOption = False) -> None:
    """Show where Kafka and Redis are and whether they answer; exit code 1 when one of them or a local broker does not.

    With --json one object.
    """
    found = service_status(_settings())
    if as_json:
        print(json.dumps(found))
    else:
        _print_status(found)
    brokers = found["kafka"]["brokers"]
    if not (found["kafka"]["up"] and found["redis"]["up"] and all(broker["up"] for broker in brokers)):
        sys.exit(1)


def topics_create(as_json: JsonOption = False) -> None:
    """Create the topics that are missing and compare the others with the settings; exit code 1 when one differs.

    With --json one object.
    """
    settings = _settings()
    require_kafka(settings)
    report = ensure_topics(settings)
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        for name in report.created:
            print(f"created  {name}")
        for name in report.existing:
            print(f"exists   {name}")
        for difference in report.differences:
            print(f"differs  {difference}")
        for setting in report.left_out:
            print(f"note     {setting}")
    if report.differences:
        sys.exit(1)


def config_check(as_json: JsonOption = False) -> None:
    """Show every setting in force, secrets masked; or all faults in the settings, and exit code 2.

    Files that keys of the Kafka clients name are read. Nothing is connected to.

    With --json one object.
    """
    settings = _settings()
    if faults := key_faults(settings):
        raise ConfigError(*faults)
    values = flat_settings(settings)
    if as_json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        print(f"{name} = {json.dumps(value)}")
    print(f"# Kafka in force: {bootstrap(settings)}")
    print(f"# Redis in force: {masked_url(redis_url(settings))}")
    print(f"# State folder:   {home()}")
    if without_effect := overruled_keys(settings):
        print(f"# Without effect (Sightline decides): {', '.join(without_effect)}")
    if noted := stage_notes(settings):
        print(f"# The stream stage's consumer has no: {', '.join(noted)}")


def service_status(settings: Settings) -> dict[str, Any]:
    """The JSON of `sightline status`; asks both services and does not raise when they do not answer."""
    brokers = find_brokers(settings)
    local = None if settings.kafka.bootstrap_servers else read_state(home())
    return {
        "kafka": {
            "bootstrap_servers": bootstrap(settings),
            "up": brokers.are_usable,
            "unreachable": [str(broker) for broker in brokers.unreachable],
            "brokers": _local_brokers(local),
        },
        "redis": {"url": masked_url(redis_url(settings)), "up": redis_answers(settings)},
    }


def _local_brokers(local: LocalState | None) -> list[dict[str, Any]]:
    """The local brokers that were started and not stopped; one that crashed since then is not up."""
    brokers = [broker for broker in local.brokers if broker.process] if local else []
    return [
        {"id": broker.broker_id, "pid": ref.pid, "port": broker.client_port, "up": ref.alive()}
        for broker in brokers
        if (ref := broker.process)
    ]


def _print_status(found: dict[str, Any]) -> None:
    for name, key in (("kafka", "bootstrap_servers"), ("redis", "url")):
        answer = "up" if found[name]["up"] else "does not answer (`sightline up` starts a local one)"
        if name == "kafka" and found[name]["unreachable"]:
            answer = "answers, but cannot be used from here" if not found[name]["up"] else "up, in part"
        print(f"{name:<6} {found[name][key]}  {answer}")
    for broker in found["kafka"]["unreachable"]:
        print(f"       {broker}: correct `advertised.listeners`")
    for broker in found["kafka"]["brokers"]:
        if not broker["up"]:
            print(f"       broker {broker['id']} has crashed (pid {broker['pid']}): `sightline up` starts it again")


def _settings() -> Settings:
    """The settings. The clients' own warnings are switched off: the command itself says what it found."""
    logs.setup(LogSettings(level="error"))
    return load_settings()


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
