"""`sightline doctor`: checks machine, installation and services, and gives the line that repairs a fault."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from infra.commands import doctor_checks
from infra.commands.doctor_checks import Finding
from infra.commands.options import JsonOption
from infra.kafka.brokers import kafka_answers
from infra.kafka.clients import bootstrap
from infra.kafka.topic_admin import check_topics
from infra.process import logs
from infra.redis.client import redis_answers, redis_url
from infra.settings import LogSettings, Settings, load_settings
from infra.settings.mask import masked_url
from schemas.errors import ConfigError, Unavailable


def command(as_json: JsonOption = False) -> None:
    """Check this machine and this installation.

    Exit code 1 when a check fails; a warning alone leaves it 0. With --json one array of findings.
    """
    # The findings say what is wrong; the clients' own warnings would only come between their lines.
    logs.setup(LogSettings(level="error"))
    findings: list[Finding] = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            print(f"{finding.verdict:<5} {finding.subject:<9} {finding.found}", flush=True)
            if finding.mend:
                print(f"{'':<15} mend: {finding.mend}", flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    if any(finding.verdict == "fail" for finding in findings):
        sys.exit(1)


def examine() -> Iterator[Finding]:
    """All findings; the quick checks come first."""
    for check in (doctor_checks.python, doctor_checks.java, doctor_checks.maven, doctor_checks.packages):
        yield from check()
    yield from doctor_checks.disk()
    yield from doctor_checks.memory()
    try:
        settings = load_settings()
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("settings", "fail", fault, "sightline config check")
    else:
        yield Finding("settings", "ok", "valid")
        yield from _services(settings)
    yield from doctor_checks.model_runtimes()


def _services(settings: Settings) -> Iterator[Finding]:
    address = bootstrap(settings)
    if kafka_answers(settings):
        yield Finding("kafka", "ok", f"answers at {address}")
        yield from _topics(settings)
    else:
        yield _away("kafka", address, settings.kafka.bootstrap_servers, "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS")
    url = masked_url(redis_url(settings))
    if redis_answers(settings):
        yield Finding("redis", "ok", f"answers at {url}")
    else:
        yield _away("redis", url, settings.redis.url.get_secret_value(), "SIGHTLINE_REDIS__URL")


def _away(subject: str, address: str, configured: str, setting: str) -> Finding:
    """A service that does not answer: a failure when an address is configured, else a warning (none was started)."""
    if configured:
        return Finding(subject, "fail", f"does not answer at {address}", f"start it there, or correct {setting}")
    return Finding(subject, "warn", f"none configured, and nothing answers at {address}", "sightline up")


def _topics(settings: Settings) -> Iterator[Finding]:
    try:
        missing, differences = check_topics(settings)
    except Unavailable as error:
        yield Finding("topics", "fail", str(error), "sightline topics create")
        return
    if missing:
        yield Finding("topics", "warn", f"missing: {', '.join(missing)}", "sightline topics create")
    for difference in differences:
        mend = "kafka-topics.sh --alter --partitions" if difference.name == "partitions" else "kafka-configs.sh --alter"
        yield Finding("topics", "warn", str(difference), f"{mend}, or change the setting")
    if not missing and not differences:
        yield Finding("topics", "ok", "all exist, with the settings that they must have")
