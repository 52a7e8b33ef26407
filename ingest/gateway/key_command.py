"""`sightline gateway key add|list|remove`: who may upload."""

import json
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.commands.options import JsonOption
from infra.net.policy import GlobalAddresses
from infra.settings import load_settings
from ingest.gateway.keys import SCOPES, Key, check_name, check_scopes, digest_of, new_token
from ingest.gateway.problems import Problem
from ingest.gateway.store import Store, state_folder
from ingest.gateway.webhooks import check_target
from schemas.errors import ConfigError
from schemas.webhooks import new_secret

NameArgument = Annotated[str, typer.Argument(help="Its uploads are the sources NAME.0, NAME.1, ...")]


def add_command(
    name: NameArgument,
    scope: Annotated[list[str] | None, typer.Option(help=f"{', '.join(SCOPES)} (default: all); several times.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Frames a second (default: gateway.frames_per_s).", min=0.001)
    ] = None,
    per_day: Annotated[int | None, typer.Option(help="Frames a day, UTC (default: no limit).", min=1)] = None,
    webhook: Annotated[str | None, typer.Option(help="Where labels of its uploads are sent, signed.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Replace the key of this name; the old one ends.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and show it, once: only a digest is kept. A running gateway knows it within a second."""
    try:
        target = None if webhook is None else check_target(webhook, GlobalAddresses())
    except Problem as problem:
        raise ConfigError(f"--webhook: {problem.detail}") from problem
    token = new_token()
    key = Key(
        check_name(name), digest_of(token), check_scopes(scope or list(SCOPES)), int(time.time()),
        rate, per_day, target, new_secret(),
    )  # fmt: skip
    with Store(state_folder(load_settings().gateway)) as store:
        store.add_key(key, renew=renew)
    if as_json:
        print(json.dumps({**_shown(key), "key": token, "signing_secret": key.signing_secret}))
        return
    print(f"key             {token}")
    print(f"signing secret  {key.signing_secret}")
    print("The key is not shown again. Receivers of webhooks check them with the signing secret.")


def list_command(as_json: JsonOption = False) -> None:
    """List the keys, without what is secret of them."""
    with Store(state_folder(load_settings().gateway)) as store:
        keys = store.keys()
    if as_json:
        print(json.dumps([_shown(key) for key in keys]))
        return
    table = Table()
    for column in ("name", "scopes", "frames/s", "frames/day", "webhook", "made"):
        table.add_column(column)
    for key in keys:
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(key.created_s))
        rate, a_day = (str(one) if one is not None else "" for one in (key.frames_per_s, key.frames_per_day))
        table.add_row(key.name, ", ".join(key.scopes), rate, a_day, key.webhook or "", made)
    Console().print(table)


def remove_command(name: NameArgument) -> None:
    """Make a key invalid, within a second. Its name stays taken, and its webhooks are given up."""
    with Store(state_folder(load_settings().gateway)) as store:
        if not store.remove_key(name):
            raise ConfigError(f"there is no key {name!r} (`sightline gateway key list`)")


def _shown(key: Key) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name not in ("digest", "signing_secret")}
