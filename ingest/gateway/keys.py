"""API keys: what one may do, how it is made and recognised. Pure."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from schemas.errors import ConfigError

PREFIX = "slk_"
UPLOAD, LABELS, WEBHOOK = SCOPES = ("upload", "labels", "webhook")
# No dot: the name of a key ends at the dot of a source id.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """One key without its secret. `frames_per_s` and `frames_per_day` None: the gateway's setting, no limit.

    `webhook`: where the labels of its uploads are sent unless a request names another target; `signing_secret`: what
    webhooks of this key are signed with.
    """

    name: str
    digest: str
    scopes: tuple[str, ...]
    created_s: int
    frames_per_s: float | None = None
    frames_per_day: int | None = None
    webhook: str | None = None
    signing_secret: str = ""

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def source_id(self, shard: int) -> str:
        return f"{self.name}.{shard}"

    def owns(self, frame_id: str) -> bool:
        """Whether the frame was uploaded with this key, as its source id says."""
        return owner_of(frame_id) == self.name


def new_token() -> str:
    """A key as its user sees it, once: 256 random bits, so that a plain digest keeps it."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def owner_of(frame_id: str) -> str | None:
    """The name of the key in `<name>.<shard>/<stream_epoch>/<frame_seq>`; None for frames of other producers."""
    parts = frame_id.split("/")
    name, dot, shard = parts[0].rpartition(".")
    is_ours = len(parts) == 3 and dot and shard.isdigit() and NAME.fullmatch(name)
    return name if is_ours else None


def owner_of_source(source_id: str) -> str | None:
    """The name of the key in `<name>.<shard>`; None for other sources."""
    return owner_of(f"{source_id}/0/0")


def check_name(name: str) -> str:
    """Raises ConfigError for a name that a source id could not carry, or that is taken for that of a crawl."""
    if not NAME.fullmatch(name) or name == "crawl":
        raise ConfigError(
            f"{name!r} is no name of a key: it has up to 63 of a-z, 0-9, - and _, begins with a letter or digit, "
            "and is not `crawl`"
        )
    return name


def check_scopes(scopes: list[str]) -> tuple[str, ...]:
    """Raises ConfigError for a scope that there is not."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ConfigError(f"there is no scope {', '.join(unknown)}: there are {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)
