"""Removes credentials from camera addresses, and from any text that quotes one.

Removed are user names and passwords before the host, also of an address inside an address, and the values of query (or
path) parameters whose names contain a word for secrets. A secret in a path segment without a name is not found.
"""

import base64
import re
from functools import lru_cache
from urllib.parse import quote, unquote

HIDDEN = "***"
# Makers choose parameter names freely (loginpas, userPassword, apitoken): one that contains such a word has a secret.
_TELLING = r"(?:pas|psw|pw|token|secret|auth|sig|key|login|usr|user|session|jwt|cred)"
_NAME = rf"([^&;=/?#\s]*{_TELLING}[^&;=/?#\s]*)"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_URL_IN_TEXT = re.compile(_SCHEME.pattern + r"[^\s'\"<>]+")
_NAMED_IN_PATH = re.compile(rf"{_NAME}=(?!\*\*\*)([^&;#/?\s]*)", re.IGNORECASE)
# The value is everything up to the next parameter: cameras accept values that are not escaped.
_NAMED_IN_QUERY = re.compile(rf"{_NAME}=([^&;]*)", re.IGNORECASE)
# Xiongmai cameras: /user=admin_password=tlJwpbo6_channel=1_stream=0.sdp
_SECRET_IN_PATH = re.compile(
    r"(?<![A-Za-z])(user|password)=(?!\*\*\*)([^&;]*?(?=_(?:password|channel|stream|tcp|onvif)=)|[^&;#/?\s]*)",
    re.IGNORECASE,
)
# /snap.cgi?password=p@ss
_AT_IN_VALUE = re.compile(r"/[^?#@]*\?[^@=]+=[^@]*@")
_IP_ADDRESS = re.compile(r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\])(:\d+)?")
# A user name may contain an unescaped "#", "?" or "/" as well.
_USER_GOES_ON = re.compile(r"#.*@|\?.*:.*@|/[^?#@]*:.*@", re.DOTALL)
# http://host/api/stream?src=rtsp://joe:word@camera/1, escaped or not
_INNER_USERINFO = re.compile(r"(?<=://|%2F)(.*)(?=@|%40)", re.IGNORECASE | re.DOTALL)
# Hiding a shorter secret ("1" as a password) would blank half of every log line.
MIN_LITERAL = 3


def redact_url(url: str) -> str:
    """The address without its credentials; text that is not a URL is returned unchanged."""
    scheme = _SCHEME.match(url)
    if not scheme:
        return url
    rest = url[scheme.end() :]
    return scheme.group() + _hide_named(rest[_userinfo_end(rest) :])


def redact_address(text: str) -> str:
    """What a person gave as an address, whatever it is: for messages about text that is no URL and no file.

    Everything before the last "@" is hidden, and the values of parameters as in `redact_url`.
    """
    scheme, mark, rest = text.partition("://")
    if mark and not re.search("[:@]", scheme):
        return scheme + mark + _hide_named(rest[_userinfo_end(rest) :])
    hidden, at, rest = text.rpartition("@")
    return (HIDDEN if hidden else "") + at + _hide_named(rest)


def has_hidden_host(url: str) -> bool:
    """Whether a parser may take a part of the user name or password for the host, as in rtsp://joe:12#34@camera/."""
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    after = rest[len(authority) :]
    if "@" not in after or _IP_ADDRESS.fullmatch(authority.rpartition("@")[2]) or _AT_IN_VALUE.match(after):
        return False
    # After a name alone, "/" begins a path, which may hold an "@"; but no ":" before it.
    return bool(re.search("[:@]", authority)) or _USER_GOES_ON.match(after) is not None


def secrets_of(url: str) -> tuple[str, ...]:
    """The parts of an address that `redact_url` removes, as written and unquoted, longest first."""
    scheme = _SCHEME.match(url)
    if not scheme:
        return ()
    rest = url[scheme.end() :]
    end = _userinfo_end(rest)
    found = _secrets_of_userinfo(rest[: max(0, end - 1)])
    path, _, query = rest[end:].partition("?")
    for pattern, part in ((_SECRET_IN_PATH, rest[end:]), (_NAMED_IN_PATH, path), (_NAMED_IN_QUERY, query)):
        found |= {match.group(2) for match in pattern.finditer(part)}
    for match in _INNER_USERINFO.finditer(rest[end:]):
        found |= _secrets_of_userinfo(unquote(match.group(1)))
    found |= {unquote(secret) for secret in found}
    return tuple(sorted((secret for secret in found if len(secret) >= MIN_LITERAL), key=len, reverse=True))


def _secrets_of_userinfo(userinfo: str) -> set[str]:
    """Name and password together, the password, and both as basic authentication sends them.

    Where the path may hold an "@" too, only the camera knows where the password ends.
    """
    found = set()
    for text in (userinfo, *(userinfo[: match.start()] for match in re.finditer("@", userinfo))):
        found |= {text, text.partition(":")[2]}
        found.add(base64.b64encode(unquote(text).encode(errors="replace")).decode())
    return found


def redact_text(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Any text, such as a library's log line, with every URL in it redacted and every known secret hidden.

    A secret is found in any spelling: percent-encoded or not, with backslashes, in any case.
    """
    if secrets:
        text = _any_spelling(secrets).sub(HIDDEN, text)
    return _URL_IN_TEXT.sub(lambda match: redact_url(match.group()), text)


@lru_cache
def _any_spelling(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join("".join(map(_spellings, secret)) for secret in secrets), re.IGNORECASE)


def _spellings(character: str) -> str:
    """What a character of a secret may look like where a library prints it."""
    if character.isascii() and character.isalnum():
        return character
    code = ord(character)
    found = [character, "\\" + character, quote(character, safe="", errors="replace"), f"%{code:02x}"]
    found += [f"\\x{code:02x}", f"\\u{code:04x}", *("+" if character == " " else "")]
    return f"(?:{'|'.join(sorted(set(map(re.escape, found)), key=len, reverse=True))})"


def _userinfo_end(rest: str) -> int:
    """The index at which the host begins in `rest`, the part of an address that follows `://`."""
    more_slashes = len(rest) - len(rest.lstrip("/"))  # http:///joe:word@camera
    if more_slashes:
        end = _userinfo_end(rest[more_slashes:])
        return more_slashes + end if end else 0
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password may contain an unescaped "/" or "@": no parser accepts it, but it must not be printed. The cost: in an
    # address with credentials or a port, an "@" in the path hides everything before it.
    has_colon = ":" in authority and not authority.startswith("[")
    goes_on = _USER_GOES_ON.match(rest[len(authority) :])
    return rest.rfind("@") + 1 if "@" in authority or has_colon or goes_on else 0


def _hide_named(rest: str) -> str:
    hidden = rf"\1={HIDDEN}"
    rest = _INNER_USERINFO.sub(HIDDEN, rest)
    path, mark, query = _SECRET_IN_PATH.sub(hidden, rest).partition("?")
    return _NAMED_IN_PATH.sub(hidden, path) + mark + _NAMED_IN_QUERY.sub(hidden, query)
