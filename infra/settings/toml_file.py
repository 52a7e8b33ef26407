"""Reads a TOML file as people save it, also with a byte order mark or in UTF-16. A fault names file and line."""

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError

# The longest marks come first: the mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PLACE = re.compile(r"at line (\d+), column (\d+)")
# What word processors and web pages make of the characters that TOML knows.
LOOKALIKES = dict.fromkeys("“”„‟«»″＂", 'a plain "') | dict.fromkeys("‘’‚‛′＇", "a plain '")
LOOKALIKES |= dict.fromkeys("\u00a0\u2007\u202f\u3000", "a plain space") | {"＝": "a plain ="}


def read_toml(file: Path) -> dict[str, Any]:
    """The document in a file. Raises ConfigError, with the name of the file, and OSError.

    No part of the file's text is in the message: it may be a password.
    """
    return read_toml_text(file)[0]


def read_toml_text(file: Path) -> tuple[dict[str, Any], str]:
    """As `read_toml`, with the text that the document was made of."""
    text = _decoded(file.read_bytes(), file)
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: it is not TOML: {error}{_hint(text, str(error))}") from None
    except RecursionError:
        raise ConfigError(f"{file}: its values are nested too deeply") from None
    except ValueError:
        raise ConfigError(f"{file}: a number in it has thousands of digits") from None


def lines_of_tables(text: str, name: str) -> list[int]:
    """The numbers of the lines with `[[name]]`, for messages: TOML's parser tells no places."""
    header = re.compile(rf"\s*\[\[\s*{re.escape(name)}\s*\]\]")
    return [number for number, line in enumerate(text.split("\n"), 1) if header.match(line)]


def _decoded(data: bytes, file: Path) -> str:
    """The text, by the byte order mark, or as UTF-16 where every other byte is 0, else as UTF-8."""
    encoding, mark = next(((name, mark) for mark, name in MARKS if data.startswith(mark)), ("", b""))
    if not encoding and data[:2].count(0) == 1:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        return data[len(mark) :].decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding not in ("", "utf-8"):
            raise ConfigError(
                f"{file}: it is not {encoding.upper()}, as its first bytes say: save it as UTF-8"
            ) from None
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        raise ConfigError(
            f"{file}: line {line} has a character that is not UTF-8 (Latin-1, perhaps): save the file as UTF-8"
        ) from None


def _hint(text: str, error: str) -> str:
    """What to write instead, where the line of the error has a character that only looks like one of TOML's."""
    place = PLACE.search(error)
    lines = text.split("\n")
    if place is None or int(place[1]) > len(lines):
        return ""
    found = next((char for char in lines[int(place[1]) - 1] if char in LOOKALIKES), None)
    return f"; write {LOOKALIKES[found]} for the {found} in that line" if found else ""
