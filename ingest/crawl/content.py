"""What the bytes of an answer are, whatever its Content-Type says. Pure."""

import codecs
import re
import zlib
from enum import StrEnum

from ingest.sources.answers import is_picture, page_type

_GZIP = b"\x1f\x8b"
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # zlib tells them apart by the header
_PIECE_BYTES = 64 * 1024


class Content(StrEnum):
    IMAGE = "image"
    SVG = "svg"
    HTML = "html"
    XML = "xml"
    GZIP = "gzip"
    EMPTY = "empty"
    OTHER = "other"


class TooLarge(Exception):
    """More bytes than allowed."""


class Damaged(Exception):
    """Not what it seemed to be."""


def sniff(body: bytes) -> Content:
    """By the first bytes. A text without any mark of HTML counts as OTHER, as do other binary formats."""
    if not body:
        return Content.EMPTY
    if is_picture(body):
        return Content.IMAGE
    if body.startswith(_GZIP):
        return Content.GZIP
    head = body[:1024].lower()
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.replace(b"\x00", b"")
    if re.search(rb"<svg[\s>]", head) and not re.search(rb"<(html|body|head)[\s>]", head):
        return Content.SVG
    if re.search(rb"<(urlset|sitemapindex)[\s>]", head) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        return Content.HTML if b"<html" in head else Content.XML
    if re.search(rb"<(!doctype html|html|head|body|title|meta|a|img|p|div|h1|table|script)[\s>]", head):
        return Content.HTML
    return Content.HTML if page_type(body) == "text/html" else Content.OTHER


def inflate(data: bytes, max_bytes: int) -> bytes:
    """Decompress gzip or zlib. Raises TooLarge beyond `max_bytes`, Damaged where it is neither or is cut off."""
    stream = Inflater(max_bytes)
    inflated = stream.feed(data)
    stream.end()
    return inflated


class Inflater:
    """The same, piece by piece; never holds more than `max_bytes` of output and one piece."""

    def __init__(self, max_bytes: int) -> None:
        self._stream, self._left = zlib.decompressobj(_GZIP_OR_ZLIB), max_bytes

    def feed(self, data: bytes) -> bytes:
        parts = []
        while data and not self._stream.eof:
            try:
                part = self._stream.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise Damaged(str(error)) from error
            self._left -= len(part)
            if self._left < 0:
                raise TooLarge
            parts.append(part)
            data = self._stream.unconsumed_tail
        return b"".join(parts)

    def end(self) -> None:
        """Raises Damaged where the data is not complete."""
        if not self._stream.eof:
            raise Damaged("the compressed data is cut off")
