"""What the gateway keeps on disk, in one SQLite file: keys, answers for repeated requests, webhooks to come.

Written in WAL mode without a sync for each commit: it survives a killed process, and a lost power costs at most the
last moments.
"""

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from infra.settings import GatewaySettings, home
from ingest.gateway.keys import Key
from schemas.errors import ConfigError

FILE = "state.sqlite"
BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, digest TEXT NOT NULL, scopes TEXT NOT NULL,
  created_s INTEGER NOT NULL, frames_per_s REAL, frames_per_day INTEGER, webhook TEXT, signing_secret TEXT NOT NULL,
  removed_s INTEGER);
CREATE TABLE IF NOT EXISTS answers (key TEXT, idempotency_key TEXT, fingerprint TEXT NOT NULL, status INTEGER NOT NULL,
  body TEXT NOT NULL, at_s INTEGER NOT NULL, PRIMARY KEY (key, idempotency_key));
CREATE INDEX IF NOT EXISTS answers_at ON answers (at_s);
CREATE TABLE IF NOT EXISTS webhooks (frame_id TEXT PRIMARY KEY, target TEXT NOT NULL, at_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS used (key TEXT, day INTEGER, frames INTEGER NOT NULL, PRIMARY KEY (key, day));
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to an earlier request. `fingerprint`: of what was asked."""

    fingerprint: str
    status: int
    body: str


def state_folder(settings: GatewaySettings) -> Path:
    return Path(settings.state) if settings.state else home() / "gateway"


class Store:
    """From one thread. Several processes may have it open, such as the gateway and `gateway key add`."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError when the folder or its file cannot be used."""
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"the gateway's state in {path} cannot be used: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    # -- keys

    def version(self) -> int:
        """Another number once another process has written."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def keys(self) -> list[Key]:
        """Those that are valid, by name."""
        rows = self._db.execute(
            "SELECT name, digest, scopes, created_s, frames_per_s, frames_per_day, webhook, signing_secret FROM keys "
            "WHERE removed_s IS NULL ORDER BY name"
        )
        return [Key(row[0], row[1], tuple(json.loads(row[2])), *row[3:]) for row in rows]

    def add_key(self, key: Key, *, renew: bool = False) -> None:
        """Raises ConfigError for a name that is or was in use: its holder could read what another one uploaded.

        With `renew` the key takes the place of the one of its name.
        """
        verb = "REPLACE" if renew else "IGNORE"
        done = self._db.execute(
            f"INSERT OR {verb} INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",  # noqa: S608 - of two words of ours
            (
                key.name, key.digest, json.dumps(key.scopes), key.created_s, key.frames_per_s, key.frames_per_day,
                key.webhook, key.signing_secret,
            ),
        )  # fmt: skip
        if not done.rowcount:
            raise ConfigError(
                f"there is or was a key {key.name}, whose uploads a new key of that name could read: "
                "take another name, or give its holder a new key with --renew"
            )

    def remove_key(self, name: str) -> bool:
        """Whether there was such a key. Its name stays taken."""
        sql = "UPDATE keys SET removed_s = ?, digest = '', signing_secret = '' WHERE name = ? AND removed_s IS NULL"
        return self._db.execute(sql, (int(time.time()), name)).rowcount > 0

    # -- answers for repeated requests

    def answer(self, key: str, idempotency_key: str, oldest_s: int) -> Answered | None:
        sql = "SELECT fingerprint, status, body FROM answers WHERE key = ? AND idempotency_key = ? AND at_s >= ?"
        row = self._db.execute(sql, (key, idempotency_key, oldest_s)).fetchone()
        return Answered(*row) if row else None

    def keep_answer(self, key: str, idempotency_key: str, answered: Answered, at_s: int) -> None:
        row = (key, idempotency_key, answered.fingerprint, answered.status, answered.body, at_s)
        self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)

    def trim_answers(self, oldest_s: int, most: int) -> None:
        """Forget what is older, and the oldest beyond so many."""
        self._db.execute("DELETE FROM answers WHERE at_s < ?", (oldest_s,))
        sql = "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers ORDER BY at_s DESC LIMIT -1 OFFSET ?)"
        self._db.execute(sql, (most,))

    # -- webhooks to come

    def webhooks(self) -> dict[str, tuple[str, int]]:
        """By frame id, the target and when the frame was uploaded, in seconds."""
        rows = self._db.execute("SELECT frame_id, target, at_s FROM webhooks ORDER BY at_s")
        return {frame_id: (target, at_s) for frame_id, target, at_s in rows}

    def add_webhook(self, frame_id: str, target: str, at_s: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?)", (frame_id, target, at_s))

    def remove_webhook(self, frame_id: str) -> None:
        self._db.execute("DELETE FROM webhooks WHERE frame_id = ?", (frame_id,))

    # -- quotas

    def used(self, key: str, day: int) -> int:
        """Frames of the key on that day since 1970, as far as they were written down."""
        row = self._db.execute("SELECT frames FROM used WHERE key = ? AND day = ?", (key, day)).fetchone()
        return int(row[0]) if row else 0

    def set_used(self, key: str, day: int, frames: int) -> None:
        self._db.execute("DELETE FROM used WHERE day < ?", (day,))
        self._db.execute("INSERT OR REPLACE INTO used VALUES (?, ?, ?)", (key, day, frames))
