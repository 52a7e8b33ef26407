"""The command line: modules are imported only when needed, and every error is one sentence."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import cli
from schemas.errors import ConfigError


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_is_there_and_documented(name: str) -> None:
    module_name, _, function_name = cli.COMMANDS[name][0].partition(":")
    function = getattr(importlib.import_module(module_name), function_name)
    assert inspect.getdoc(function)


def test_help_lists_all_commands_and_loads_none() -> None:
    program = (
        "import sys; from infra import cli; cli.run(['--help']);"
        "heavy = {'torch', 'cv2', 'faust', 'confluent_kafka', 'redis', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in cli.COMMANDS:
        assert f"  {name} " in done.stdout


def test_an_unknown_command_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean `camera`"):
        cli.run(["camra"])
    with pytest.raises(ConfigError, match="topics nonsense"):
        cli.run(["topics", "nonsense"])


@pytest.mark.parametrize("command", ["stream", "infer", "subscribe", "audit"])
def test_a_lane_that_does_not_exist_is_refused_alike(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run([command, "--lane", "side"])
    assert ended.value.code == 2
    assert "'--lane': Value error, 'side' is not one of 'live', 'replay'" in capsys.readouterr().err


def test_a_foreign_package_of_the_same_name_gets_one_sentence(tmp_path: Path) -> None:
    foreign = tmp_path / "inference"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    info = tmp_path / "inference-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: inference\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("inference\n")
    (info / "RECORD").write_text("inference/__init__.py,,\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from infra import cli; cli.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the package `inference` comes from" in done.stderr
    assert "uninstall inference" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_name_that_the_locale_cannot_write_is_written_out() -> None:
    program = "from infra import cli; cli.run = lambda words: print(words[0]); cli.main(['\u65e5.jpg'])"
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=ascii_only)
    assert (done.returncode, done.stdout) == (0, "\\u65e5.jpg\n"), done.stderr


def test_a_reader_that_goes_away_ends_a_command_well() -> None:
    """The pipe is closed before the command has written all its output, as by `| head -1`."""
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "infra.cli", "config", "check"]
    try:
        done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
