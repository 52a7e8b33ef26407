"""What a crawl knows, in one SQLite file: every URL and what became of it, so that a killed crawl goes on.

A change is one transaction. WAL survives kill -9 of this process; `synchronous = NORMAL` may lose the last changes when
the machine itself dies, which are then done again. One process has the file, by SQLite's exclusive lock.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.process import metrics
from ingest.crawl import outcomes
from ingest.crawl.urls import Kind, Link
from schemas.errors import ConfigError, SightlineError
from schemas.records import Micros

_VERSION = 1
_SCHEMA = """
CREATE TABLE urls (
  id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE, host TEXT NOT NULL, kind TEXT NOT NULL, depth INTEGER NOT NULL,
  hops INTEGER NOT NULL, page TEXT NOT NULL, outcome TEXT, moved_to TEXT, etag TEXT, modified TEXT
);
CREATE INDEX waiting ON urls (host, id) WHERE outcome IS NULL;
CREATE TABLE pictures (digest BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE sending (id INTEGER PRIMARY KEY, url TEXT, digest BLOB NOT NULL, at_us INTEGER NOT NULL);
CREATE TABLE counts (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE robots (origin TEXT PRIMARY KEY, at_s REAL NOT NULL, text TEXT NOT NULL);
"""
# A URL that was gone in the last round is not asked again unless a page links to it.
_GONE = (outcomes.error("http_404"), outcomes.error("http_410"))
_TOO_DEEP = outcomes.refused("too_deep")
# How long a robots.txt is believed (RFC 9309 2.4).
ROBOTS_S = 24 * 3600.0
_ROUND_DONE, _LOCK = "round_done", "lock"


@dataclass(slots=True)
class Waiting:
    """A URL to be requested. `page`: where it was found; `hops`: redirects up to here; `attempts`: in this process."""

    id: int
    url: str
    host: str
    kind: Kind
    depth: int
    hops: int
    page: str
    etag: str | None
    modified: str | None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Sending:
    """A frame that was handed to Kafka and not known to be acknowledged when the process ended."""

    id: int
    url: str
    digest: bytes
    at_us: Micros


@contextmanager
def kept_in(path: Path) -> Iterator[None]:
    """Raises SightlineError where the file of a frontier fails while it is used: a full disk, a damaged file."""
    try:
        yield
    except sqlite3.Error as error:
        raise SightlineError(f"{path} does not keep the crawl any more: {error}; the same command goes on") from error


class Frontier:
    """For one thread. `resumed`: the file has a round that was not finished."""

    def __init__(self, path: Path, max_urls: int) -> None:
        self._max_urls = max_urls
        self._totals: Counter[tuple[str, str]] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=1.0)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
            elif version != _VERSION:
                raise ConfigError(f"{path} was written by another version of the crawler: give another --state")
            with self._db:
                self._count(_LOCK, 0)  # takes the lock now
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}; give another --state") from error
        except sqlite3.OperationalError as error:
            raise ConfigError(f"{path} is used by another crawl, or cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path} is no frontier of a crawl: {error}") from error
        self.urls = int(self._db.execute("SELECT count(*) FROM urls").fetchone()[0])
        done = self._db.execute("SELECT number FROM counts WHERE name = ?", (_ROUND_DONE,)).fetchone()
        self.resumed = self.urls > 0 and done is None
        if done is not None:
            self._new_round()
        self._totals = self._counted()

    def close(self) -> None:
        self._db.close()

    def hosts(self) -> list[str]:
        """Hosts with URLs that wait, by the first of them."""
        query = "SELECT host FROM urls WHERE outcome IS NULL GROUP BY host ORDER BY min(id)"
        return [host for (host,) in self._db.execute(query)]

    def waiting(self, host: str, after_id: int, limit: int) -> list[Waiting]:
        rows = self._db.execute(
            "SELECT id, url, host, kind, depth, hops, page, etag, modified FROM urls "
            "WHERE outcome IS NULL AND host = ? AND id > ? ORDER BY id LIMIT ?",
            (host, after_id, limit),
        )
        return [Waiting(row[0], row[1], row[2], Kind(row[3]), *row[4:]) for row in rows]

    def add(self, links: Iterable[Link], depth: int = 0, page: str = "", hops: int = 0) -> set[str]:
        """Add the links that are not known; the hosts that now have more to be asked."""
        with self._db:
            return self._add(links, depth, page, hops)

    def finish(
        self,
        url: Waiting,
        outcome: str,
        links: Iterable[Link] = (),
        *,
        on: str = "",
        depth: int = 0,
        hops: int = 0,
        moved_to: str | None = None,
        etag: str | None = None,
        modified: str | None = None,
        counts: Counter[str] | None = None,
    ) -> set[str]:
        """The URL is done, and the links `on` its page are known, at once. `counts`: what was left out, by outcome."""
        with self._db:
            self._done(url.id, outcome, moved_to, etag, modified)
            for name, number in (counts or Counter()).items():
                self._count(name, number)
            return self._add(links, depth, on, hops)

    def has_picture(self, digest: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM pictures WHERE digest = ?", (digest,)).fetchone() is not None

    def sends(self, url: Waiting, digest: bytes, at_us: Micros) -> None:
        """Note that a frame will be handed to Kafka next."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO sending VALUES (?, ?, ?, ?)", (url.id, url.url, digest, at_us))

    def sent(self, id: int, digest: bytes, etag: str | None = None, modified: str | None = None) -> None:
        """Kafka has acknowledged the frame."""
        with self._db:
            self._db.execute("INSERT OR IGNORE INTO pictures VALUES (?)", (digest,))
            self._db.execute("DELETE FROM sending WHERE id = ?", (id,))
            self._done(id, outcomes.PUBLISHED, None, etag, modified)

    def not_sent(self, id: int) -> None:
        """The frame did not get to Kafka, and will not."""
        with self._db:
            self._db.execute("DELETE FROM sending WHERE id = ?", (id,))

    def sending(self) -> list[Sending]:
        return [Sending(*row) for row in self._db.execute("SELECT id, url, digest, at_us FROM sending")]

    def leads_to(self, start: str, url: str, max_hops: int) -> bool:
        """Whether redirects that are known lead from `start` to `url`."""
        at: str | None = start
        for _ in range(max_hops + 1):
            if at == url:
                return True
            row = self._db.execute("SELECT moved_to FROM urls WHERE url = ?", (at,)).fetchone()
            if row is None or row[0] is None:
                return False
            at = row[0]
        return False

    def outcomes(self) -> Counter[tuple[str, str]]:
        """How many URLs of this round there are, by kind and outcome; what was left out of pages has the kind ''."""
        return +self._totals

    def _counted(self) -> Counter[tuple[str, str]]:
        rows = self._db.execute("SELECT kind, outcome, count(*) FROM urls GROUP BY 1, 2")
        found = Counter({(kind, outcome or outcomes.WAITING): number for kind, outcome, number in rows})
        for name, number in self._db.execute("SELECT name, number FROM counts WHERE number > 0"):
            if name != _ROUND_DONE:
                found["", name] += number
        return found

    def end_round(self) -> None:
        with self._db:
            self._count(_ROUND_DONE, 1)

    def robots(self, origin: str, not_before_s: float) -> str | None:
        found = self._db.execute("SELECT text FROM robots WHERE origin = ? AND at_s >= ?", (origin, not_before_s))
        row = found.fetchone()
        return None if row is None else str(row[0])

    def keep_robots(self, origin: str, text: str) -> None:
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?)", (origin, time.time(), text))

    def _add(self, links: Iterable[Link], depth: int, page: str, hops: int) -> set[str]:
        hosts: set[str] = set()
        for link in links:
            if self.urls >= self._max_urls:
                known = self._db.execute("SELECT 1 FROM urls WHERE url = ?", (link.url,)).fetchone()
                self._count(outcomes.refused("too_many_urls"), known is None)
                continue
            outcome = None if link.refusal is None else outcomes.refused(link.refusal)
            if outcome is None:
                # Found too deep before, and now nearer.
                gone = self._db.execute("DELETE FROM urls WHERE url = ? AND outcome = ?", (link.url, _TOO_DEEP))
                self.urls -= gone.rowcount
                self._totals[link.kind, _TOO_DEEP] -= gone.rowcount
            added = self._db.execute(
                "INSERT OR IGNORE INTO urls (url, host, kind, depth, hops, page, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (link.url, link.host, link.kind, depth, hops, page, outcome),
            ).rowcount
            self.urls += added
            self._totals[link.kind, outcome or outcomes.WAITING] += added
            if added and outcome is None:
                hosts.add(link.host)
        return hosts

    def _done(self, id: int, outcome: str, moved_to: str | None, etag: str | None, modified: str | None) -> None:
        kind, former = self._db.execute("SELECT kind, outcome FROM urls WHERE id = ?", (id,)).fetchone()
        self._totals[kind, former or outcomes.WAITING] -= 1
        self._totals[kind, outcome] += 1
        metrics.CRAWL_URLS.labels(outcome.partition(":")[0]).inc()
        self._db.execute(
            "UPDATE urls SET outcome = ?, moved_to = ?, etag = coalesce(?, etag), modified = coalesce(?, modified) "
            "WHERE id = ?",
            (outcome, moved_to, etag, modified, id),
        )

    def _count(self, name: str, number: int) -> None:
        self._totals["", name] += number
        self._db.execute(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = number + excluded.number",
            (name, number),
        )

    def _new_round(self) -> None:
        """Everything is asked again, with the conditions of HTTP; what was refused or is gone is found anew."""
        with self._db:
            self._db.execute("DELETE FROM counts")
            self._db.execute("DELETE FROM robots WHERE at_s < ?", (time.time() - ROBOTS_S,))
            again = (f"{outcomes.REFUSED}%", *_GONE)
            self._db.execute("DELETE FROM urls WHERE outcome LIKE ? OR outcome IN (?, ?)", again)
            self._db.execute("UPDATE urls SET outcome = NULL, moved_to = NULL")
        self.urls = int(self._db.execute("SELECT count(*) FROM urls").fetchone()[0])
