"""Whether data written with one Avro schema can be read with another (Avro 1.11, "Schema Resolution").

The tests use it to keep every change of `schemas/*.avsc` BACKWARD_TRANSITIVE: the new schema reads all earlier ones.
"""

from collections.abc import Iterable
from typing import Any

Schema = Any
PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
NAMED = {"record", "error", "enum", "fixed"}


def incompatibilities(reader: Schema, writer: Schema) -> list[str]:
    """Each reason why `reader` cannot read what `writer` wrote, with its place in the schema; empty if it can."""
    return _Check(_names(reader), _names(writer)).compare(reader, writer, "/")


def backward_transitive(reader: Schema, earlier: Iterable[Schema]) -> list[str]:
    """Every reason why `reader` cannot read all `earlier` versions."""
    return [reason for writer in earlier for reason in incompatibilities(reader, writer)]


def _names(schema: Schema, found: dict[str, Schema] | None = None, namespace: str = "") -> dict[str, Schema]:
    found = {} if found is None else found
    if isinstance(schema, list):
        for branch in schema:
            _names(branch, found, namespace)
    elif isinstance(schema, dict):
        kind = schema.get("type")
        if kind in NAMED:
            namespace = schema.get("namespace", namespace)
            found[schema["name"]] = schema
            found[_full(schema["name"], namespace)] = schema
        for part in (kind, schema.get("items"), schema.get("values")):
            if isinstance(part, dict | list):
                _names(part, found, namespace)
        for field in schema.get("fields", ()):
            _names(field["type"], found, namespace)
    return found


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _unqualified(schema: dict[str, Any]) -> str:
    return str(schema["name"]).rpartition(".")[2]


class _Check:
    def __init__(self, reader_names: dict[str, Schema], writer_names: dict[str, Schema]) -> None:
        self._reader_names, self._writer_names = reader_names, writer_names
        self._assumed: set[tuple[int, int]] = (
            set()
            # Pairs of records under comparison count as compatible, so that recursive types end.
        )

    def compare(self, reader: Schema, writer: Schema, where: str) -> list[str]:
        reader, writer = (
            _resolve(reader, self._reader_names),
            _resolve(writer, self._writer_names),
        )
        if (id(reader), id(writer)) in self._assumed:
            return []
        if isinstance(writer, list):
            return [reason for branch in writer for reason in self.compare(reader, branch, where)]
        if isinstance(reader, list):
            return self._any_branch(reader, writer, where)
        kind, writer_kind = _kind(reader), _kind(writer)
        if kind == writer_kind:
            return self._same_kind(kind, reader, writer, where)
        promoted = kind in PROMOTIONS.get(writer_kind, ())
        return [] if promoted else [f"{where}: reader has {kind}, writer has {writer_kind}"]

    def _same_kind(self, kind: str, reader: Schema, writer: Schema, where: str) -> list[str]:
        if kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            return self.compare(reader[part], writer[part], f"{where}{part}/")
        if kind not in NAMED:
            return []
        reasons = _named(reader, writer, where)
        if kind == "enum":
            reasons += _enum(reader, writer, where)
        elif kind == "fixed":
            reasons += _fixed(reader, writer, where)
        else:
            self._assumed.add((id(reader), id(writer)))
            reasons += self._record(reader, writer, where)
        return reasons

    def _any_branch(self, reader: list[Schema], writer: Schema, where: str) -> list[str]:
        assumed = set(self._assumed)
        for branch in reader:
            if not self.compare(branch, writer, where):
                return []
            self._assumed = set(assumed)  # the assumptions of a branch that failed do not hold
        return [f"{where}: no branch of the reader's union reads {_kind(_resolve(writer, self._writer_names))}"]

    def _record(self, reader: dict[str, Any], writer: dict[str, Any], where: str) -> list[str]:
        written = {field["name"]: field for field in writer["fields"]}
        reasons: list[str] = []
        for field in reader["fields"]:
            names = [field["name"], *field.get("aliases", ())]
            match = next((written[name] for name in names if name in written), None)
            if match is not None:
                reasons += self.compare(field["type"], match["type"], f"{where}{field['name']}/")
            elif "default" not in field:
                reasons.append(f"{where}{field['name']}: new without a default")
        return reasons


def _named(reader: dict[str, Any], writer: dict[str, Any], where: str) -> list[str]:
    aliases = {alias.rpartition(".")[2] for alias in reader.get("aliases", ())}
    if _unqualified(writer) in {_unqualified(reader), *aliases}:
        return []
    return [f"{where}: reader's {reader['name']} is not the writer's {writer['name']}"]


def _fixed(reader: dict[str, Any], writer: dict[str, Any], where: str) -> list[str]:
    return (
        [] if reader["size"] == writer["size"] else [f"{where}: fixed of {reader['size']} reads {writer['size']} bytes"]
    )


def _enum(reader: dict[str, Any], writer: dict[str, Any], where: str) -> list[str]:
    missing = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if not missing or "default" in reader:
        return []
    return [f"{where}: reader lacks the symbols {', '.join(missing)}"]


def _resolve(schema: Schema, names: dict[str, Schema]) -> Schema:
    while True:
        if isinstance(schema, str) and schema in names:
            schema = names[schema]
        elif isinstance(schema, dict) and isinstance(schema.get("type"), dict | list):
            schema = schema["type"]
        elif isinstance(schema, dict) and schema.get("type") in names:
            schema = names[schema["type"]]
        else:
            return schema


def _kind(schema: Schema) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])
