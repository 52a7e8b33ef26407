"""ONVIF cameras by WS-Discovery: what is asked, and what an answer says. Pure; the sockets are in `discover_command`.

Sources: OASIS WS-Discovery 1.1 (docs.oasis-open.org/ws-dd), ONVIF Core Specification 7.3 (scopes).
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

GROUP, PORT = "239.255.255.250", 3702
MAX_ANSWER_BYTES = 64 * 1024
MAX_ELEMENTS, MAX_TEXT = 1_000, 300
HOST = re.compile(r"[A-Za-z0-9.:_-]{1,180}")
SCOPE = "onvif://www.onvif.org/"
# Elements whose text is wanted, by their names without namespaces.
WANTED = ("XAddrs", "Scopes", "Address", "RelatesTo")

PROBE = """<?xml version="1.0" encoding="utf-8"?>
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:n="http://www.onvif.org/ver10/network/wsdl">
<e:Header><a:MessageID>{message_id}</a:MessageID>
<a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>
<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></e:Header>
<e:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that answered: its host, what it calls itself, and the address of its ONVIF service."""

    host: str
    name: str
    model: str
    service: str
    endpoint: str

    @property
    def toml(self) -> str:
        """A table for cameras.toml. The path of the stream is the maker's secret until somebody logs in."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f'[[camera]]\nid = "camera-{self.host.replace(":", "-")}"\nsource = "rtsp://{host}:554/"'


class _Parser:
    """Gathers the text of the wanted elements.

    Raises ValueError at more than MAX_ELEMENTS elements and at a document type, ExpatError where it is no XML.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._name = ""
        self._elements = 0
        self._expat = expat.ParserCreate()
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.StartDoctypeDeclHandler = self._refuse  # entities can grow without end
        self._expat.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def parse(self, data: bytes) -> dict[str, str]:
        self._expat.Parse(data, True)
        return self.texts

    def _start(self, name: str, _attributes: object) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise ValueError("too many elements")
        self._name = name.rpartition(":")[2]

    def _end(self, _name: str) -> None:
        self._name = ""

    def _text(self, text: str) -> None:
        if self._name in WANTED:
            self.texts[self._name] = self.texts.get(self._name, "") + text

    def _refuse(self, *_: object) -> None:
        raise ValueError("a document type")


def found_camera(data: bytes, message_id: str, sender: str) -> FoundCamera | None:
    """The camera that an answer tells of; None where it is no answer to the probe with this id. `sender`: its host."""
    if len(data) > MAX_ANSWER_BYTES:
        return None
    try:
        texts = _Parser().parse(data)
    except (ValueError, LookupError, expat.ExpatError):  # a LookupError: an encoding that is none
        return None
    if texts.get("RelatesTo", "").strip() != message_id or "XAddrs" not in texts:
        return None
    services = [text for text in texts["XAddrs"].split() if _host(text)]
    service = next((text for text in services if _host(text) == sender), services[0] if services else "")
    scopes = [text.removeprefix(SCOPE) for text in texts.get("Scopes", "").split() if text.startswith(SCOPE)]
    return FoundCamera(
        host=_host(service) or sender,
        name=_scope(scopes, "name/"),
        model=_scope(scopes, "hardware/"),
        service=_plain(service),
        endpoint=_plain(texts.get("Address", "").strip()),
    )


def _host(address: str) -> str:
    """The host of a web address, of characters that may stand in a terminal and in cameras.toml; else ''."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "") if parts.scheme in ("http", "https") else ""
        return host if HOST.fullmatch(host) else ""
    except ValueError:
        return ""


def _scope(scopes: list[str], kind: str) -> str:
    found = (unquote(scope.removeprefix(kind)) for scope in scopes if scope.startswith(kind))
    return _plain(next(found, ""))


def _plain(text: str) -> str:
    """Text of a stranger, for a terminal: printable and not long."""
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_TEXT].strip()
