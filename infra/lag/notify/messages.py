"""What is sent for an event, in the shape that each receiver expects. Pure."""

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from infra.lag.notify.incidents import Event, EventKind
from infra.lag.rules.status import LagStatus
from infra.lag.table import duration
from infra.process.text import printable

_WORDS = {EventKind.OPEN: "is", EventKind.AGAIN: "is still", EventKind.CLOSE: "is again"}


def sentence(event: Event, cluster: str) -> str:
    """One line for a person: `sightline-infer on local is ERR: no member reads ...; 120 records wait, for 6 min`."""
    report = event.report
    why = f": {report.cause}" if report.cause else ""
    waits = f", for {duration(report.lag_s)}" if report.lag_s is not None and report.total_lag else ""
    lag = f"; {report.total_lag:,} records wait{waits}" if report.total_lag else "; no record waits"
    holds = f"; {event.bottleneck}" if event.bottleneck and event.kind is not EventKind.CLOSE else ""
    return printable(f"{report.group} on {cluster} {_WORDS[event.kind]} {report.status}{why}{lag}{holds}")


def webhook_json(event: Event, cluster: str) -> dict[str, Any]:
    """The report as `sightline lag --json` shows it, with the incident around it."""
    return {
        "event": str(event.kind),
        "incident_id": event.incident_id,
        "began_at": _iso(event.began_s),
        "cluster": cluster,
        "text": sentence(event, cluster),
        **event.report.as_json(),
    }


def slack_json(event: Event, cluster: str) -> dict[str, Any]:
    """The shape of Slack's incoming webhooks, which Mattermost and Rocket.Chat read too."""
    colors = {LagStatus.OK: "good", LagStatus.WARN: "warning"}
    return {
        "text": _escaped(sentence(event, cluster)),
        "attachments": [
            {
                "color": colors.get(event.report.status, "danger"),
                "fields": [
                    {"title": "status", "value": str(event.report.status), "short": True},
                    {"title": "records", "value": f"{event.report.total_lag:,}", "short": True},
                    {"title": "since", "value": _iso(event.began_s), "short": True},
                    {"title": "incident", "value": event.incident_id, "short": True},
                ],
            }
        ],
    }


def pagerduty_json(event: Event, cluster: str, routing_key: str) -> dict[str, Any]:
    """PagerDuty's Events API v2: the same `dedup_key` from the trigger to the resolve."""
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if event.kind is EventKind.CLOSE else "trigger",
        "dedup_key": event.incident_id,
        "payload": {
            "summary": sentence(event, cluster)[:1024],
            "source": cluster,
            "severity": "warning" if event.report.status <= LagStatus.WARN else "critical",
            "component": event.report.group,
            "class": "consumer lag",
            "custom_details": webhook_json(event, cluster),
        },
    }


def email_of(event: Event, cluster: str, sender: str, receivers: tuple[str, ...]) -> EmailMessage:
    """A mail of plain text. All mails of an incident make one thread."""
    message = EmailMessage()
    report = event.report
    message["From"], message["To"] = sender, ", ".join(receivers)
    message["Subject"] = f"[{report.status}] {printable(report.group)} on {cluster}"
    thread = f"<{event.incident_id}@sightline>"
    if event.kind is EventKind.OPEN:
        message["Message-ID"] = thread
    else:
        message["In-Reply-To"] = message["References"] = thread
    worst = [one for one in report.partitions if one.status > LagStatus.OK][:50]
    lines = [f"{one.partition}: {one.status}, {one.current_lag:,} records, {printable(one.cause)}" for one in worst]
    head = [sentence(event, cluster), "", f"since {_iso(event.began_s)}, incident {event.incident_id}", ""]
    message.set_content("\n".join([*head, *lines]))
    return message


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    """Slack's three characters, by its own rule."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
