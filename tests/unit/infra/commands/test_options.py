"""An option that several commands share is the one of `infra/commands/options.py` in each of them."""

import importlib
import typing

import pytest
import typer

from infra import cli
from infra.commands import options

SHARED = {
    "--lane": options.LaneOption,
    "--json": options.JsonOption,
    "--from": options.FromOption,
    "--to": options.ToOption,
    "--http-port": options.HttpPortOption,
    "--source-id": options.SourceIdOption,
    "--stage": options.StageOption,
    "--error": options.ErrorOption,
}
HELP = {name: typing.get_args(option)[1].help for name, option in SHARED.items()}


def help_by_option(command: str) -> dict[str, str]:
    """The help text of every option that the command has."""
    module_name, _, function_name = cli.COMMANDS[command][0].partition(":")
    app = typer.Typer()
    app.command()(getattr(importlib.import_module(module_name), function_name))
    parameters = typer.main.get_command(app).params
    return {parameter.opts[0]: getattr(parameter, "help", None) or "" for parameter in parameters}


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_shared_option_is_declared_once(command: str) -> None:
    found = help_by_option(command)
    assert {name: text for name, text in found.items() if name in SHARED and text != HELP[name]} == {}


def test_every_shared_option_is_used_by_several_commands() -> None:
    used = [name for command in cli.COMMANDS for name in help_by_option(command)]
    assert {name: used.count(name) for name in SHARED if used.count(name) < 2} == {}
