"""Rules of the house that no linter knows: no import circle, small modules, rooms, and who may talk to Kafka."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from infra.cli import COMMANDS, PACKAGES
from tests.support.paths import ROOT

MAX_LINES = 300
# The wiring, which alone stands in the top folder of a package. In `schemas`, which is flat, each module travels.
WIRING = {"infra": {"cli"}, "inference": {"classify"}, "streams": {"command", "processor"}}
KAFKA_CLIENTS = ("confluent_kafka", "aiokafka", "faust", "kafka")
KAFKA_ROOMS = ("infra.kafka", "streams.source")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, exclude_type_checking_imports=True)


def modules() -> Iterator[Path]:
    for package in (*PACKAGES, "tests"):
        yield from sorted((ROOT / package).rglob("*.py"))


def test_no_import_goes_in_a_circle(graph: grimp.ImportGraph) -> None:
    """Imports inside functions count: whoever reads one end has to know the other."""
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_no_module_is_too_long_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_only_two_rooms_know_a_kafka_client(graph: grimp.ImportGraph) -> None:
    importers = {module for client in KAFKA_CLIENTS for module in graph.find_modules_that_directly_import(client)}
    assert {module for module in importers if not module.startswith(KAFKA_ROOMS)} == set()
    assert importers, "the rule looks at something"


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "schemas"])
def test_the_top_folder_of_a_package_holds_its_wiring_alone(package: str) -> None:
    found = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert found == WIRING.get(package, set())


def test_every_package_says_what_it_is_for() -> None:
    packages = [path for path in modules() if path.name == "__init__.py" and "tests" not in path.parts]
    silent = [str(path.relative_to(ROOT)) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_every_command_is_a_function_that_is_there(graph: grimp.ImportGraph) -> None:
    for place, _ in COMMANDS.values():
        module, _, function = place.partition(":")
        assert module in graph.modules
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, place


def test_unit_tests_stand_where_their_packages_do() -> None:
    unit = ROOT / "tests" / "unit"
    rooms = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")} - {Path(), Path("faults"), Path("docs")}
    assert {str(room) for room in rooms if not (ROOT / room).is_dir()} == set()
