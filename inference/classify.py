"""`sightline classify`: from image files to labels without Kafka, by the pipeline's preparation, model and decision."""

import json
import mimetypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from inference.image import Prepared, SampleRange, prepare
from inference.labelling.decide import Decided, decide, predictions_of
from inference.models import Model, load_model
from infra.commands.options import JsonOption, ModelOption
from infra.process import logs
from infra.process.text import printable
from infra.settings import MIB, Settings, load_settings
from schemas.errors import BadFrame, ConfigError
from schemas.records import Decision, Prediction

MAX_FILE_BYTES = 256 * MIB
# How many batches are decoded ahead of the model: enough to keep both busy, within bounded memory.
BATCHES_AHEAD = 2
_TYPES = mimetypes.MimeTypes(filenames=())

PathsArgument = Annotated[
    list[Path], typer.Argument(help="Image files, and folders of them with all below.", metavar="PATH...")
]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one file: predictions and a decision, or the error."""

    path: Path
    predictions: tuple[Prediction, ...] = ()
    decided: Decided | None = None
    error: BadFrame | None = None


def command(paths: PathsArgument, as_json: JsonOption = False, model: ModelOption = None) -> None:
    """Label image files, without Kafka. Exit code 1 if any could not be read.

    With --json one object a line for each image, in the order of the paths.
    """
    settings = load_settings({"infer": {"model": model}})
    logs.setup(settings.log)
    files = find_files(paths)
    loaded = load_model(settings.infer.model, settings.infer)
    show: Callable[[Result], str] = json_line if as_json else text_line
    started, failed = time.monotonic(), 0
    for result in classify(files, loaded, settings):
        failed += result.error is not None
        print(show(result), flush=not as_json)
    sys.stdout.flush()
    if not as_json:
        print(f"{len(files)} files, {failed} failed, {time.monotonic() - started:.1f} s", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The given files, and the files in the given folders, sorted. Raises ConfigError for a path that is neither.

    In folders, hidden files and files with the name of another type (.csv, .txt, .mp4) are skipped.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
            found += [each for each in inside if _may_be_image(each, path) and each.is_file()]
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"{path} is neither a file nor a folder" if path.exists() else f"{path} does not exist")
    if not found:
        raise ConfigError(f"there is no image in {', '.join(map(str, paths))}")
    return found


def _may_be_image(path: Path, below: Path) -> bool:
    if any(part.startswith(".") for part in path.relative_to(below).parts):
        return False
    kind = _TYPES.guess_type(path.name)[0] or ""
    return kind.startswith("image/") or kind in ("", "application/octet-stream")


def classify(files: list[Path], model: Model, settings: Settings) -> Iterator[Result]:
    """One result per file, in the given order. Threads read and decode ahead while the model runs."""
    size, threads = settings.infer.max_batch_size, settings.stream.decoders
    max_pixels = settings.stream.max_image_pixels
    sample_range = SampleRange.parse(settings.stream.sample_range)

    def read(path: Path) -> Prepared | BadFrame:
        try:
            return prepare(_read_file(path), model.input, model.input.encoding, max_pixels, sample_range)
        except BadFrame as bad:
            return bad

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[Path, Future[Prepared | BadFrame]]] = deque()
        rest = iter(files)
        try:
            while True:
                for path in rest:
                    waiting.append((path, pool.submit(read, path)))
                    if len(waiting) >= (1 + BATCHES_AHEAD) * size:
                        break
                if not waiting:
                    return
                batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                yield from _label([(path, future.result()) for path, future in batch], model, settings)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read_file(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadFrame("too_large", f"{size} bytes, the limit is {MAX_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise BadFrame("unreadable", error.strerror or str(error)) from error


def _label(batch: list[tuple[Path, Prepared | BadFrame]], model: Model, settings: Settings) -> Iterator[Result]:
    sound = [outcome for _, outcome in batch if isinstance(outcome, Prepared)]
    rows: Iterator[tuple[Prediction, ...]] = iter(())
    if sound:
        pixels = np.frombuffer(b"".join(each.pixels for each in sound), np.uint8).reshape(len(sound), -1)
        rows = iter(predictions_of(model.run(pixels), model.classes))
    for path, outcome in batch:
        if isinstance(outcome, BadFrame):
            yield Result(path, error=outcome)
            continue
        predictions = next(rows)
        yield Result(path, predictions, decide(predictions, outcome.quality, settings.infer.min_probability))


def json_line(result: Result) -> str:
    """One JSON object, its decision as a label tells it. Bytes of a name that are not UTF-8 are escaped surrogates."""
    line: dict[str, Any] = {"path": str(result.path)}
    if result.error is not None:
        line |= {"error": result.error.reason, "detail": result.error.detail}
    if result.decided is not None:
        line["predictions"] = [asdict(each) for each in result.predictions]
        line |= asdict(result.decided)
    return json.dumps(line)


def text_line(result: Result) -> str:
    """Names of files and classes come from outside, so they are printed without terminal control codes."""
    path = printable(os.fsencode(result.path).decode(errors="backslashreplace"))
    if result.error is not None:
        return f"{'':>6}  {'-':<30}  {path}  [{printable(str(result.error))}]"
    if not result.predictions:
        return f"{'':>6}  {'-':<30}  {path}"
    best = result.predictions[0]
    decided = result.decided
    remark = f"  [review: {decided.reason}]" if decided is not None and decided.decision is Decision.REVIEW else ""
    return f"{best.probability:>6.1%}  {printable(best.name):<30.30}  {path}{remark}"
