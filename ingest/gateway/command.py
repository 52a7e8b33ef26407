"""`sightline gateway`: takes uploads over HTTP."""

from typing import Annotated

import typer

from infra.commands.options import HttpPortOption
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames, group
from infra.net.policy import GlobalAddresses
from infra.process import logs, tracing
from infra.process.lifecycle import Stop
from infra.settings import load_settings
from ingest.gateway import service

log = logs.get(__name__)

HostOption = Annotated[
    str | None, typer.Option("--host", help="The address to listen on (default: gateway.host).", show_default=False)
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="PORT",
        help="The port to listen on (default: gateway.port); 0 takes a free one and logs it.",
        show_default=False,
    ),
]


def command(host: HostOption = None, port: PortOption = None, http_port: HttpPortOption = None) -> None:
    """Take uploads over HTTP, and give their labels back.

    Keys are made by `sightline gateway key add`. `/docs` shows the interface. TLS is the matter of a proxy before it.
    """
    settings = load_settings({"gateway": {"host": host, "port": port}, "http": {"port": http_port}})
    logs.setup(settings.log)
    names = TopicNames.for_lane(settings.topic_prefix)
    with tracing.running(settings.tracing, "sightline-gateway"):
        require_topics(
            settings,
            reads=[names.labels, names.dead, names.webhooks],
            writes=[names.frames, names.webhooks],
            groups={group("webhooks", settings.topic_prefix): names.webhooks},
        )
        service.run(settings, GlobalAddresses(), Stop().install())
