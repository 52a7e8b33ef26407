"""What the documents name exists: files, what is defined in them, links, headings that links point to, settings.

Notation of the documents: a path in backticks is relative to the root of the repository (`streams/stage/stage.py`,
`streams/stage/`; a module may leave out its `.py`) and may hold `*` and `{a,b}`. A name behind it
(`streams/stage/stage.py`: `Stage`, or `Stage.take`) is defined in that file.
"""

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from infra.cli import COMMANDS
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = tuple(f"{each.name}/" for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith("."))
SUFFIXES = (".py", ".md", ".svg", ".avsc", ".toml", ".xml", ".lock")
# Files of users and of libraries, not of the repository.
THEIRS = {"sightline.toml", "cameras.toml", "_meta.py"}

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
DEFINED = re.compile(r"`([\w/.-]+\.py)`: ((?:`[\w.]+`(?:, | and )?)+)")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SETTING = re.compile(r"[a-z]+\.[a-z][a-z0-9_]*")
COMMAND = re.compile(r"sightline ([a-z]+)(?: ([a-z]+))?")


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text())


def expanded(pattern: str) -> Iterator[str]:
    """`a/{b,c}.py` -> `a/b.py`, `a/c.py`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if index % 2 else [part] for index, part in enumerate(parts)]
    return ("".join(choice) for choice in product(*choices))


def exists(path: str) -> bool:
    if "/" not in path:
        return any(ROOT.glob(path)) or any(any(ROOT.glob(f"{folder}**/{path}")) for folder in FOLDERS)
    return any(ROOT.glob(path.rstrip("/"))) or (ROOT / f"{path}.py").exists()


def names_of(file: Path) -> set[str]:
    """What a module defines at its top, and `Class.name` for what its classes define."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        own = _names(node)
        found |= own
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return found


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def anchor(heading: str) -> str:
    """As GitHub makes it: lower case, punctuation out, spaces to hyphens."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.fixture(params=DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_paths_in_backticks_exist(document: Path) -> None:
    named = {code for code in CODE.findall(prose(document)) if code.startswith(FOLDERS) or code.endswith(SUFFIXES)}
    paths = {path for code in named - THEIRS if not re.search(r" |://", code) for path in expanded(code)}

    assert sorted(path for path in paths if not exists(path)) == []


def test_names_behind_a_path_are_defined_there(document: Path) -> None:
    wrong = [
        f"{path}: {name}"
        for path, names in DEFINED.findall(prose(document))
        for name in CODE.findall(names)
        if name not in names_of(ROOT / path)
    ]

    assert wrong == []


def test_links_lead_somewhere(document: Path) -> None:
    wrong = []
    for first, second in LINK.findall(prose(document)):
        target, _, fragment = (first or second).partition("#")
        if "://" in target:
            continue
        file = (document.parent / target).resolve() if target else document
        if not file.exists() or (fragment and fragment not in map(anchor, HEADING.findall(file.read_text()))):
            wrong.append(first or second)

    assert wrong == []


def test_settings_exist(document: Path) -> None:
    """`section.name` where there is such a section. `kafka.consumer` and its kind hold keys that are not ours."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    wrong = []
    for code in CODE.findall(prose(document)):
        section, _, name = code.partition(" ")[0].partition(".")
        fields = getattr(sections.get(section), "model_fields", None)
        if fields is not None and SETTING.fullmatch(f"{section}.{name}") and name not in (*fields, "py", "avsc", "md"):
            wrong.append(code)

    assert wrong == []


def test_commands_exist(document: Path) -> None:
    known = set(COMMANDS) | {name.split()[0] for name in COMMANDS}
    wrong = []
    for code in CODE.findall(prose(document)):
        for first, second in COMMAND.findall(code):
            if first not in known or (second and first not in COMMANDS and f"{first} {second}" not in COMMANDS):
                wrong.append(code)

    assert wrong == []


def test_the_readme_lists_every_benchmark() -> None:
    [listed] = re.findall(r"bare limit of this machine: (.*), or all;", (ROOT / "README.md").read_text())
    table = (ROOT / "streams" / "bench" / "command.py").read_text()

    assert sorted(listed.split(", ")) == sorted(re.findall(r'"(\w+)": bench_\w+,', table))


def test_metrics_exist(document: Path) -> None:
    catalogue = "".join(path.read_text() for path in (ROOT / "infra" / "process").glob("*metrics.py"))
    named = {code for code in CODE.findall(prose(document)) if code.startswith("sightline_")}

    assert sorted(name for name in named if f'"{name}"' not in catalogue) == []


def test_every_decision_is_dated_and_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    areas = [area for area in sorted(folder.glob("*.md")) if area.name != "README.md"]
    headings = [
        (area.name, heading) for area in areas for heading in re.findall(r"^## (.*)$", area.read_text(), re.MULTILINE)
    ]

    assert [heading for _, heading in headings if not re.search(r"\(\d{4}-\d\d-\d\d\)$", heading)] == []
    assert [heading for area, heading in headings if f"({area}#{anchor(heading)})" not in index] == []


def test_documents_that_code_points_to_exist() -> None:
    wrong = {
        f"{file.relative_to(ROOT)}: {path}"
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        for path in re.findall(r"docs/[\w./-]+\.(?:md|svg)", file.read_text())
        if not (ROOT / path).exists()
    }

    assert wrong == set()
