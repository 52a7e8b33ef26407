"""`sightline doctor`: checks machine, installation and services, and gives the line that repairs a fault."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from infra.commands import doctor_checks
from infra.commands.doctor_checks import Finding
from infra.commands.options import JsonOption
from infra.kafka.abilities import lacking_rights, usable_group_protocol
from infra.kafka.brokers import find_brokers
from infra.kafka.clients import bootstrap
from infra.kafka.key_check import client_faults
from infra.kafka.stage_keys import stage_faults
from infra.kafka.topic_admin import Difference, check_topics
from infra.process import logs
from infra.redis.check import redis_use
from infra.redis.client import redis_answers, redis_url
from infra.redis.route import SINGLE
from infra.settings import LogSettings, Settings, load_settings
from infra.settings.mask import masked_url
from schemas.errors import ConfigError, Unavailable

_REDIS_MEND = "name the server that takes MGET and SET in SIGHTLINE_REDIS__URL, or grant them to this user"


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
    yield from _kafka(settings)
    url = masked_url(redis_url(settings))
    if redis_answers(settings):
        yield from _redis(settings, url)
    else:
        yield _away("redis", url, settings.redis.url.get_secret_value(), "SIGHTLINE_REDIS__URL")


def _kafka(settings: Settings) -> Iterator[Finding]:
    if faults := client_faults(settings):
        yield from (
            Finding("kafka", "fail", fault, "correct the key; `sightline config check` tries it") for fault in faults
        )
        return
    for fault in stage_faults(settings):
        yield Finding("stream", "fail", fault, "correct the key, or run `sightline stream` where it is not set")
    address, found = bootstrap(settings), find_brokers(settings)
    if not found.answer:
        configured = settings.kafka.bootstrap_servers
        yield _away("kafka", address, configured, "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS", found.hint)
        return
    for broker in found.unreachable:
        mend = "correct `advertised.listeners` of that broker, or make the address reachable from here"
        yield Finding("kafka", "fail", f"{address} answers, but {broker}", mend)
    if not found.are_usable:
        return  # everything else would wait for brokers that cannot be reached
    if not found.unreachable:
        yield Finding("kafka", "ok", f"answers at {address}")
    yield from _topics(settings)
    yield from _rights(settings)
    yield from _group_protocol(settings)


def _redis(settings: Settings, url: str) -> Iterator[Finding]:
    """What the cache does, done once: a server that answers PING may refuse it."""
    use = redis_use(settings)
    kind = "" if use.route == SINGLE else f" ({use.route})"
    if use.read_fault:
        yield Finding("redis", "fail", f"answers at {url}{kind}, but refuses look-ups: {use.read_fault}", _REDIS_MEND)
    elif use.store_fault:
        yield Finding("redis", "warn", f"answers at {url}{kind}, but stores nothing: {use.store_fault}", _REDIS_MEND)
    else:
        yield Finding("redis", "ok", f"answers at {url}{kind}")


def _rights(settings: Settings) -> Iterator[Finding]:
    try:
        lacking = lacking_rights(settings)
    except Unavailable as error:
        yield Finding("rights", "fail", str(error), "correct the address, or start Kafka there")
        return
    if lacking:
        mend = "grant it with `kafka-acls.sh`, unless only commands run here that do without"
        yield Finding("rights", "warn", f"missing: {', '.join(lacking)}", mend)
    else:
        yield Finding("rights", "ok", "this user may read and write the topics and use the groups")


def _group_protocol(settings: Settings) -> Iterator[Finding]:
    if settings.infer.group_protocol == "classic":
        return
    protocol = usable_group_protocol(settings)
    if protocol == "consumer":
        yield Finding("groups", "ok", "the brokers have the group protocol of KIP-848")
    elif protocol == "classic":
        found = "the brokers do not have the group protocol of KIP-848: workers use the classic one"
        yield Finding("groups", "ok", found, 'nothing, or say so: infer.group_protocol = "classic"')
    else:
        yield Finding("groups", "warn", "no answer whether the brokers have the group protocol of KIP-848", "try again")


def _away(subject: str, address: str, configured: str, setting: str, hint: str = "") -> Finding:
    """A service that does not answer: a failure when an address is configured, else a warning (none was started)."""
    if configured:
        found = f"does not answer at {address}" + (f": {hint}" if hint else "")
        return Finding(subject, "fail", found, f"start it there, or correct {setting}")
    return Finding(subject, "warn", f"none configured, and nothing answers at {address}", "sightline up")


def topic_mend(difference: Difference) -> str:
    """What to do about a topic that differs from the settings. Partitions can be added while everything runs."""
    if difference.name != "partitions":
        return "kafka-configs.sh --alter, or change the setting"
    change = f"set topics.partitions = {difference.found}"
    if int(difference.found) > int(difference.wanted):
        return f"{change}: a topic keeps the partitions that it has"
    return (
        f"kafka-topics.sh --alter --topic {difference.topic} --partitions {difference.wanted}, also while everything "
        "runs: new partitions are read within a minute. Keys move to other partitions, so labels of a camera can come "
        f"out of order once. Or {change}"
    )


def _topics(settings: Settings) -> Iterator[Finding]:
    try:
        found = check_topics(settings)
    except Unavailable as error:
        yield Finding("topics", "fail", str(error), "sightline topics create")
        return
    if found.missing:
        yield Finding("topics", "warn", f"missing: {', '.join(found.missing)}", "sightline topics create")
    for difference in found.differences:
        yield Finding("topics", "warn", str(difference), topic_mend(difference))
    if not found.missing and not found.differences:
        yield Finding("topics", "ok", "all exist, with the settings that they must have")
    for setting in sorted({left_out.name for left_out in found.left_out}):
        yield Finding("topics", "ok", f"this broker does not have {setting}: the topics do without it")
