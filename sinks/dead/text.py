"""Dead letters as text for people and as JSON objects. Pure."""

from typing import Any

from rich.table import Table
from rich.text import Text

from infra.failures.dead_letters import DeadLetter
from infra.process.text import printable
from schemas import codec
from schemas.codec import Registry
from schemas.errors import BadFrame
from schemas.headers import to_map
from schemas.records import Frame, micros_to_iso

FIRST_BYTES = 64
_HEX_WIDTH = 16


def dead_letter_fields(letter: DeadLetter, redriven: bool) -> dict[str, Any]:
    """One line of `dead list --json` and of an export's manifest. The keys are a contract."""
    failure = letter.failure
    return {
        "partition": letter.place[0],
        "offset": letter.place[1],
        "timestamp": micros_to_iso(letter.timestamp_ms * 1000),
        "stage": letter.stage,
        "error": letter.error_class,
        "message": failure.message if failure else "",
        "attempt": failure.attempt if failure else 0,
        "source_id": letter.source_id,
        "origin": {
            "topic": failure.source.topic,
            "partition": failure.source.partition,
            "offset": failure.source.offset,
            "timestamp": micros_to_iso(failure.timestamp_ms * 1000),
        }
        if failure
        else None,
        "size": len(letter.value or b""),
        "redriven": redriven,
    }


def dead_letters_table(letters: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("place", "died", "source", "stage", "error", "message"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == "message" else None)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for letter in letters:
        table.add_row(
            f"{letter['partition']}/{letter['offset']}",
            letter["timestamp"][:19].replace("T", " "),
            Text(printable(letter["source_id"])),
            Text(printable(letter["stage"]) or "?"),
            Text(printable(letter["error"]) or "?", style="red"),
            Text(printable(letter["message"]), style="dim"),
            size_text(letter["size"]),
            Text("redriven", style="green") if letter["redriven"] else "",
        )
    return table


def frame_fields(value: bytes | None, registry: Registry | None) -> dict[str, Any] | str:
    """The Frame's fields without its image, or the reason why the bytes cannot be decoded as a Frame."""
    try:
        frame = codec.decode(Frame, value, registry)
    except BadFrame as bad:
        return str(bad)
    fields = {name: getattr(frame, name) for name in Frame.__dataclass_fields__ if name != "image"}
    fields["captured_at"] = micros_to_iso(frame.captured_at)
    fields["received_at"] = micros_to_iso(frame.received_at)
    return {**fields, "image_bytes": len(frame.image)}


def full_fields(letter: DeadLetter, redriven: bool, registry: Registry | None) -> dict[str, Any]:
    """The object that `dead show --json` prints. The keys are a contract."""
    frame = frame_fields(letter.value, registry)
    return {
        **dead_letter_fields(letter, redriven),
        "headers": {name: value.decode(errors="replace") for name, value in to_map(letter.headers).items()},
        "first_bytes": (letter.value or b"")[:FIRST_BYTES].hex(),
        "frame": frame if isinstance(frame, dict) else None,
        "no_frame_because": frame if isinstance(frame, str) else None,
    }


def describe(fields: dict[str, Any]) -> list[str]:
    """The lines that `dead show` prints for people."""
    origin = fields["origin"]
    where = f"{origin['topic']}/{origin['partition']} offset {origin['offset']}" if origin else "unknown"
    lines = [
        f"dead letter {fields['partition']}/{fields['offset']}, {size_text(fields['size'])}, {fields['timestamp']}"
        + (", redriven" if fields["redriven"] else ""),
        f"failed    {printable(fields['stage']) or '?'}: {printable(fields['error']) or '?'}",
        f"because   {printable(fields['message']) or '-'}",
        f"frame at  {where}, attempt {fields['attempt']}",
        "",
        "headers",
        *(f"  {printable(name)}: {printable(value)}" for name, value in fields["headers"].items()),
        "",
    ]
    frame = fields["frame"]
    if frame is None:
        lines.append(f"value: not a Frame ({printable(fields['no_frame_because'])})")
    else:
        lines += ["value: a Frame", *(f"  {name}: {printable(str(value))}" for name, value in frame.items())]
    return [*lines, "", "first bytes", *hex_lines(bytes.fromhex(fields["first_bytes"]))]


def hex_lines(data: bytes) -> list[str]:
    """The bytes in hexadecimal and in ASCII, in the format of `hexdump`."""
    rows = [data[start : start + _HEX_WIDTH] for start in range(0, len(data), _HEX_WIDTH)]
    return [
        f"  {row.hex(' '):<{_HEX_WIDTH * 3}} {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}"
        for row in rows
    ] or ["  (none)"]


def size_text(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"
