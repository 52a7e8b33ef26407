"""The network in OpenVINO's own format (IR), converted from torch once and kept under the home folder.

The conversion runs in a child process: torch takes 400 MB and seconds, and the worker does not need it afterwards.
"""

import argparse
import hashlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from inference.models.base import UNCALIBRATED, ModelInfo, RawEncoding
from inference.models.networks import NETWORKS
from infra.process import logs
from infra.process.children import die_with_parent, environment, module_command
from infra.settings import home
from schemas.errors import ModelError
from schemas.records import PixelEncoding

GRAPH_SOURCES = ("classifier.py", "network.py")
MODEL_FILE = "model.xml"
CHECKSUMS = "sha256"
CONVERSION_LIMIT_S = 600

log = logs.get(__name__)


def ir_folder(name: str, info: ModelInfo, encoding: RawEncoding, top_k: int) -> Path:
    """A folder with `model.xml` and its weights, found under the home folder or made now. Raises ModelError.

    A damaged folder is made again. Processes that start together may each convert; the folder appears complete or not
    at all.
    """
    folder = home() / "models" / f"{info.ref.name}-{encoding}-{_key(info, encoding, top_k)}"
    if _is_complete(folder):
        return folder
    log.info(
        "converting the model for OpenVINO, once", model=info.ref.name, version=info.ref.version, encoding=str(encoding)
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ModelError(f"{name}: the converted model cannot be kept in {folder.parent}: {error}") from error
    try:
        _convert_in_child(name, encoding, made, top_k)
        _write_checksums(made)
        return _put_in_place(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _key(info: ModelInfo, encoding: RawEncoding, top_k: int) -> str:
    """A hash of everything that the converted files depend on."""
    parts = [
        info.ref.version,
        encoding,
        str(top_k),
        str(UNCALIBRATED.temperature),
        importlib.metadata.version("openvino"),
        importlib.metadata.version("torch"),
        *(Path(__file__).with_name(source).read_text() for source in GRAPH_SOURCES),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _is_complete(folder: Path) -> bool:
    try:
        lines = (folder / CHECKSUMS).read_text().split()
        listed = dict(zip(lines[1::2], lines[::2], strict=True))
        return bool(listed) and all(_digest(folder / file) == digest for file, digest in listed.items())
    except (OSError, ValueError):
        return False


def _write_checksums(folder: Path) -> None:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".xml", ".bin"))
    (folder / CHECKSUMS).write_text("".join(f"{_digest(path)} {path.name}\n" for path in files))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put_in_place(made: Path, folder: Path) -> Path:
    if folder.exists() and not _is_complete(folder):
        # moved away in one step, so that no reader finds a half-removed folder
        damaged = Path(tempfile.mkdtemp(prefix=".damaged-", dir=folder.parent)) / "old"
        folder.rename(damaged)
        shutil.rmtree(damaged.parent, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:
        if not _is_complete(folder):  # else another process was faster, and its files are used
            raise
    return folder


def _convert_in_child(name: str, encoding: RawEncoding, folder: Path, top_k: int) -> None:
    try:
        done = subprocess.run(
            module_command(__name__, name, encoding, str(folder), str(top_k), str(os.getpid())),
            env={**environment(), "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=CONVERSION_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{name}: the conversion for OpenVINO took longer than {CONVERSION_LIMIT_S} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{name}: the conversion for OpenVINO failed: {last}")


def convert(name: str, encoding: RawEncoding, folder: Path, top_k: int) -> None:
    """Write the network for pixels of this encoding into `folder`. Imports torch."""
    import openvino
    import torch

    from inference.models.classifier import Classifier

    source = NETWORKS[name]
    spec = source.describe().input
    row_bytes = spec.row_bytes(encoding)
    module = Classifier(source.network(), spec, encoding, top_k, UNCALIBRATED)
    model = openvino.convert_model(module, example_input=torch.zeros((2, row_bytes), dtype=torch.uint8))
    model.reshape([-1, row_bytes])
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=False)


def _main() -> None:
    parser = argparse.ArgumentParser(description=convert.__doc__)
    parser.add_argument("name")
    parser.add_argument("encoding", choices=[PixelEncoding.I420, PixelEncoding.RGB24], type=PixelEncoding)
    parser.add_argument("folder", type=Path)
    parser.add_argument("top_k", type=int)
    parser.add_argument("parent", type=int, help="its process id")
    given = parser.parse_args()
    die_with_parent(signal.SIGKILL, given.parent)
    convert(given.name, given.encoding, given.folder, given.top_k)


if __name__ == "__main__":
    _main()
