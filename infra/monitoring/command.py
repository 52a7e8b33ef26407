"""`sightline monitor`: Prometheus and Alertmanager with our rules, on this machine."""

import os
from typing import Annotated

import typer

from infra.kafka.clients import bootstrap
from infra.monitoring.local import LocalMonitoring
from infra.process import logs
from infra.settings import home, load_settings
from infra.settings.places import config_file

WebhookOption = Annotated[
    list[str] | None, typer.Option("--webhook", metavar="URL", help="Where alerts are sent as JSON; repeatable.")
]


def up_command(*, webhook: WebhookOption = None) -> None:
    """Start Prometheus, Alertmanager and the lag monitor here, with our rules; or start them again with new settings.

    They watch every process of the pipeline that says where its metrics are, on this Kafka.
    """
    settings = load_settings()
    logs.setup(settings.log)
    # The monitor runs in a folder of its own: what is found from here has to be named.
    env = {
        **os.environ,
        "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": bootstrap(settings),
        "SIGHTLINE_HOME": str(home().resolve()),
    }
    if (config := config_file().resolve()).exists():
        env["SIGHTLINE_CONFIG"] = str(config)
    state = LocalMonitoring(home()).up(env, webhook or ())
    print(f"alerts   {state.urls['prometheus']}/alerts")
    print(f"sent     {state.urls['alertmanager']}")
    print(f"lag      {state.urls['lag']}/v1/groups  (Burrow's API under /v3/kafka)")
    if not webhook:
        print("note: alerts are shown and sent to nobody; --webhook URL names a receiver")


def down_command() -> None:
    """Stop what `sightline monitor up` has started; its data stays on disk."""
    print("stopped" if LocalMonitoring(home()).down() else "nothing was running")
