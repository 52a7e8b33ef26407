"""What is sent, to real servers of HTTP and of mail on this machine; and that a receiver that fails stops nobody."""

import email
import socketserver
import threading
import time
from collections.abc import Iterator
from email.message import Message

import pytest

from infra.lag.notify.channels import NotSent, channel_of
from infra.lag.notify.incidents import Event, EventKind
from infra.lag.notify.notifier import Notifier
from infra.lag.rules.status import LagStatus
from infra.settings import NotifySettings
from tests.support.lag_reports import group_report, partition_report
from tests.support.receiver import Receiver, receiving

STUCK = group_report(
    LagStatus.ERR,
    "sightline-infer",
    cause="no member reads: no commit for 80 s (frames.batches/0)",
    partitions=[partition_report(0, 40, status=LagStatus.STOP, cause="no member reads"), partition_report(1, 0)],
)
OPENED = Event(EventKind.OPEN, "i-1", 1_790_000_000.0, STUCK)
CLOSED = Event(EventKind.CLOSE, "i-1", 1_790_000_000.0, group_report(LagStatus.OK, "sightline-infer"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def way(kind: str, url: str, **settings: object) -> NotifySettings:
    return NotifySettings.model_validate({"kind": kind, "url": url, **settings})


def test_a_webhook_gets_the_report_and_the_incident(receiver: Receiver) -> None:
    send = channel_of(way("webhook", receiver.url, secret="s3cret"), "east")
    send(OPENED)
    send(CLOSED)
    opened, closed = receiver.bodies
    assert opened["text"] == (
        "sightline-infer on east is ERR: no member reads: no commit for 80 s (frames.batches/0); "
        "40 records wait, for 3.0 s"
    )
    assert (opened["event"], opened["incident_id"], opened["began_at"]) == ("open", "i-1", "2026-09-21T14:13:20Z")
    assert (opened["status"], opened["partitions"][0]["status"]) == ("ERR", "STOP")
    assert (closed["event"], closed["incident_id"], closed["status"]) == ("close", "i-1", "OK")
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"


def test_slack_gets_its_own_shape_with_its_characters_escaped(receiver: Receiver) -> None:
    event = Event(EventKind.OPEN, "i-1", 0.0, group_report(LagStatus.WARN, "<b>&co"))
    channel_of(way("slack", receiver.url), "east")(event)
    [body] = receiver.bodies
    assert body["text"].startswith("&lt;b&gt;&amp;co on east is WARN")
    assert body["attachments"][0]["color"] == "warning"


def test_pagerduty_resolves_what_it_triggered(receiver: Receiver) -> None:
    send = channel_of(way("pagerduty", receiver.url, secret="key"), "east")
    send(OPENED)
    send(CLOSED)
    first, last = receiver.bodies
    assert [one["event_action"] for one in (first, last)] == ["trigger", "resolve"]
    assert first["dedup_key"] == last["dedup_key"] == "i-1"
    assert (first["routing_key"], first["payload"]["severity"]) == ("key", "critical")


def test_a_refusal_names_the_host_and_no_secret(receiver: Receiver) -> None:
    receiver.answers = [500]
    url = receiver.url.replace("/hook", "/T0/secret-path")
    with pytest.raises(NotSent, match=r"127\.0\.0\.1 answers HTTP 500") as refused:
        channel_of(way("slack", url), "east")(OPENED)
    assert "secret-path" not in str(refused.value)
    with pytest.raises(NotSent, match="does not answer"):
        channel_of(way("webhook", "http://127.0.0.1:1/secret-path"), "east")(OPENED)


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client needs to send; keeps the mails."""

    daemon_threads = True

    def __init__(self) -> None:
        self.mails: list[Message] = []
        super().__init__(("127.0.0.1", 0), _MailHandler)


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 mail")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self._say("354 go on")
                data = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    data += part
                self.server.mails.append(email.message_from_bytes(data))
            self._say("221 bye" if word == b"QUIT" else "250 ok")
            if word == b"QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def test_mails_of_an_incident_make_one_thread() -> None:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"smtp://127.0.0.1:{server.server_address[1]}"
        send = channel_of(way("email", url, sender="lag@east", receivers=["ops@east", "me@east"]), "east")
        send(OPENED)
        send(CLOSED)
        server.shutdown()
    first, last = server.mails
    assert (first["Subject"], first["To"]) == ("[ERR] sightline-infer on east", "ops@east, me@east")
    assert first["Message-ID"] == last["In-Reply-To"] == "<i-1@sightline>"
    assert "frames.raw/0: STOP, 40 records, no member reads" in str(first.get_payload())


def test_a_receiver_that_fails_is_tried_again_and_holds_up_no_other(receiver: Receiver) -> None:
    receiver.answers = [503]
    ways = [way("webhook", "http://127.0.0.1:1/"), way("webhook", receiver.url)]
    with Notifier(ways, "east") as notifier:
        began_s = time.monotonic()
        notifier.tell([STUCK], 0.0)
        assert time.monotonic() - began_s < 1.0, "telling never waits for a receiver"
        while not receiver.bodies:
            assert time.monotonic() - began_s < 30
            time.sleep(0.05)
    assert receiver.bodies[0]["group"] == "sightline-infer"
