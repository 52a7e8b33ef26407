"""`sightline upload`: files and folders to an upload gateway."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.commands.options import JsonOption
from infra.process.lifecycle import Stop
from infra.process.text import printable
from infra.settings import home
from ingest.upload.client import GatewayClient
from ingest.upload.plan import Acknowledged, digest_of, files_of
from schemas.errors import ConfigError

KEY_VARIABLE = "SIGHTLINE_UPLOAD_KEY"
DEFAULT_URL = "http://127.0.0.1:8080"
MAX_FILE_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class Summary:
    """Counts of files. `failed`: by the error, the first file with it and how many."""

    uploaded: int = 0
    before: int = 0
    labelled: int = 0
    failed: dict[str, tuple[str, int]] = field(default_factory=dict)

    def fail(self, path: Path, error: str) -> None:
        first, count = self.failed.get(error, (str(path), 0))
        if error in self.failed or len(self.failed) < 100:
            self.failed[error] = (first, count + 1)
        else:
            self.fail(path, "other errors")

    @property
    def failures(self) -> int:
        return sum(count for _, count in self.failed.values())


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file. `label`: JSON."""

    path: Path
    frame_id: str | None = None
    label: str | None = None
    error: str = ""
    was_before: bool = False


def command(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with pictures.")],
    label: Annotated[bool, typer.Option("--label", help="Wait for the labels and print them.")] = False,
    url: Annotated[str, typer.Option(help="Where the gateway is.")] = DEFAULT_URL,
    key: Annotated[
        str | None, typer.Option(help=f"The API key (default: ${KEY_VARIABLE}, which no process list shows).")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Requests at once.", min=1, max=64)] = 8,
    patience: Annotated[float, typer.Option(help="Seconds for which a file is tried again.", min=0)] = 300.0,
    state: Annotated[
        Path | None,
        typer.Option(help="Where it is noted what is done (default: in the home folder).", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Upload pictures. Files that the gateway has acknowledged before are not sent again, also after a kill.

    Exit code 1 when a file was not taken, or has no label with --label. With --json one object a line for each file,
    and the summary last.
    """
    token = key or os.environ.get(KEY_VARIABLE, "")
    if not token:
        raise ConfigError(f"give the key of `sightline gateway key add` with --key or in ${KEY_VARIABLE}")
    files = files_of(paths)
    stop = Stop().install()
    # Another key is another owner, who may not read the first one's labels.
    owner = hashlib.sha256(f"{url}\n{token}".encode()).hexdigest()
    acknowledged = Acknowledged(state or home() / "uploads" / f"{owner[:16]}.jsonl", url)
    summary = Summary()
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console,
        transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with closing(acknowledged), bar:
        task = bar.add_task("uploading", total=len(files))
        client = GatewayClient(url, token, stop, patience, lambda why, _s: bar.update(task, description=why[:60]))
        with closing(client):
            for done in _results(files, client, acknowledged, stop, parallel, label):
                _count(summary, done, label)
                _print(done, as_json, label)
                bar.update(task, advance=1, description="uploading")
    left = len(files) - summary.uploaded - summary.before - summary.failures
    _tell(summary, left, as_json, console)
    if summary.failures or left:
        sys.exit(1)


def _results(
    files: list[Path], client: GatewayClient, acknowledged: Acknowledged, stop: Stop, parallel: int, label: bool
) -> Iterator[FileResult]:
    """As they come. What is acknowledged is noted before it is given out."""

    def one(path: Path) -> FileResult:
        return _upload(path, client, acknowledged, label)

    with ThreadPoolExecutor(parallel) as pool:
        waiting: set[Future[FileResult]] = set()
        for path in files:
            if stop.is_set():
                break
            waiting.add(pool.submit(one, path))
            if len(waiting) >= 2 * parallel:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        yield from (future.result() for future in wait(waiting).done)


def _upload(path: Path, client: GatewayClient, acknowledged: Acknowledged, label: bool) -> FileResult:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return FileResult(path, error=f"the file has more than {MAX_FILE_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        return FileResult(path, error=f"cannot be read: {error.strerror}")
    digest = digest_of(data)
    frame_id = acknowledged.frame_of(digest)
    was_before = frame_id is not None
    if frame_id is None:
        sent = client.upload(path.name, data, digest)
        if sent.value is None:
            return FileResult(path, error=sent.error)
        frame_id = sent.value
        acknowledged.add(digest, frame_id)
    if not label:
        return FileResult(path, frame_id, was_before=was_before)
    found = client.label(frame_id)
    return FileResult(path, frame_id, found.value, found.error, was_before)


def _count(summary: Summary, done: FileResult, label: bool) -> None:
    summary.labelled += done.label is not None
    if done.error:
        summary.fail(done.path, done.error)
    elif done.was_before:
        summary.before += 1
    else:
        summary.uploaded += 1


def _print(done: FileResult, as_json: bool, label: bool) -> None:
    label_json: Any = None if done.label is None else json.loads(done.label)
    if as_json:
        line = {"path": str(done.path), "frame_id": done.frame_id, "error": done.error or None}
        print(json.dumps({**line, "label": label_json} if label else line), flush=True)
    elif label_json is not None:
        best = label_json["predictions"][0] if label_json["predictions"] else {"name": "-", "probability": 0.0}
        decision = label_json["decision"].lower()
        print(f"{printable(str(done.path))}\t{printable(str(best['name']))}\t{best['probability']:.1%}\t{decision}")


def _tell(summary: Summary, left: int, as_json: bool, console: Console) -> None:
    if as_json:
        failed = {error: count for error, (_, count) in summary.failed.items()}
        counts = {"uploaded": summary.uploaded, "before": summary.before, "labelled": summary.labelled}
        print(json.dumps({**counts, "failed": failed, "left": left}), flush=True)
        return
    for error, (path, count) in summary.failed.items():
        console.print(f"{count} failed, such as {printable(path)}: {printable(error)}", markup=False, highlight=False)
    console.print(
        f"{summary.uploaded} uploaded, {summary.before} were before, {summary.failures} failed, {left} left",
        markup=False,
        highlight=False,
    )
