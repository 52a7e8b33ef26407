"""Where a spool is, and that one process alone uses it."""

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.process import logs, metrics
from infra.settings import SpoolSettings, home
from ingest.publish.outbox import Outbox
from ingest.publish.route import DirectRoute, Route
from ingest.publish.spool.disk_queue import DiskQueue, Limits, OnLost
from ingest.publish.spool.progress import NAME as PROGRESS
from ingest.publish.spool.spooler import Spooler
from schemas.errors import ConfigError

log = logs.get(__name__)


def folder_for(settings: SpoolSettings, topic: str, names: Iterable[str]) -> Path:
    """The folder of the settings, or one in the state folder that is the same whenever `topic` and `names` are.

    `names` says whose frames these are: a configuration file, or sources.
    """
    if settings.folder:
        return Path(settings.folder).expanduser().absolute()
    named = "\n".join([topic, *sorted(names)])
    return home() / "spool" / hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:16]


def was_used(folder: Path) -> bool:
    """Whether a producer has worked with this spool before: Kafka was then there once, and need not be there now."""
    return (folder / PROGRESS).is_file()


@contextmanager
def route(
    settings: SpoolSettings, folder: Path | None, outbox: Outbox, rate_of: Callable[[str], float]
) -> Iterator[Route]:
    """The way of the frames of a producer; what Kafka has not taken at the end of the block stays on disk.

    Without a `folder`, and where the default one cannot be used, it is the direct one. Raises ConfigError when another
    process uses the folder, or when a folder that the settings name cannot be used.
    """
    if folder is None:
        yield DirectRoute(outbox)
        return
    with _queue_in(folder, settings, outbox.lose) as queue:
        if queue is None:
            yield DirectRoute(outbox)
            return
        spooler = Spooler(outbox, queue, rate_of, settings.after_ms / 1000)
        try:
            yield spooler
        finally:
            spooler.close()


@contextmanager
def _queue_in(folder: Path, settings: SpoolSettings, on_lost: OnLost) -> Iterator[DiskQueue | None]:
    with ExitStack() as closing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = closing.enter_context((folder / "lock").open("a"))  # the kernel ends it with the process
            _lock(lock.fileno(), folder)
            queue = DiskQueue(folder, Limits(settings.max_bytes, settings.max_age_s * 1_000_000), on_lost)
        except OSError as error:
            why = f"the spool cannot be used: {folder}: {error.strerror}"
            if settings.folder:
                raise ConfigError(f"{why}. Set spool.folder to another folder, or spool.enabled = false") from error
            log.warning(f"{why}; while Kafka is away frames wait in memory alone. spool.folder sets another folder")
            yield None
            return
        metrics.SPOOL_MAX_BYTES.set(settings.max_bytes)
        yield queue


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        raise ConfigError(
            f"another process uses the spool {folder}: stop it, or give each its own with spool.folder"
        ) from taken
