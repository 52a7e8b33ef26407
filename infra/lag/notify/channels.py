"""The ways to send an event. Each raises NotSent, with a reason without secrets, when it was not taken."""

import smtplib
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2

from infra.lag.notify.incidents import Event
from infra.lag.notify.messages import email_of, pagerduty_json, slack_json, webhook_json
from infra.settings import NotifySettings
from schemas.errors import SightlineError

TIMEOUT_S = 10.0
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

Send = Callable[[Event], None]


class NotSent(SightlineError):
    """The receiver did not take the message."""


def channel_of(settings: NotifySettings, cluster: str) -> Send:
    """The function that sends an event the way that the settings say."""
    secret = settings.secret.get_secret_value()
    url = settings.url.get_secret_value()
    match settings.kind:
        case "webhook":
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            return lambda event: _post(url, webhook_json(event, cluster), headers)
        case "slack":
            return lambda event: _post(url, slack_json(event, cluster), {})
        case "pagerduty":
            return lambda event: _post(url or PAGERDUTY_URL, pagerduty_json(event, cluster, secret), {})
        case "email":
            return lambda event: _mail(settings, event, cluster)


def _post(url: str, body: object, headers: dict[str, str]) -> None:
    try:
        answer = httpx2.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
    except httpx2.HTTPError as error:
        raise NotSent(f"{urlsplit(url).hostname} does not answer: {type(error).__name__}") from error
    if not answer.is_success:
        raise NotSent(f"{urlsplit(url).hostname} answers HTTP {answer.status_code}")


def _mail(settings: NotifySettings, event: Event, cluster: str) -> None:
    """`url`: smtp://HOST:PORT, smtps:// for TLS from the first byte; STARTTLS where the server has it."""
    server = urlsplit(settings.url.get_secret_value())
    host, secret = server.hostname or "localhost", settings.secret.get_secret_value()
    kind, port = (smtplib.SMTP_SSL, 465) if server.scheme == "smtps" else (smtplib.SMTP, 25)
    try:
        with kind(host, server.port or port, timeout=TIMEOUT_S) as client:
            client.ehlo()
            if server.scheme != "smtps" and client.has_extn("starttls"):
                client.starttls()
                client.ehlo()
            if settings.user:
                client.login(settings.user, secret)
            client.send_message(email_of(event, cluster, settings.sender, settings.receivers))
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"the mail server {host} did not take the mail: {type(error).__name__}") from error
