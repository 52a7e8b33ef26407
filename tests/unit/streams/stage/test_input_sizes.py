"""Every size of a model's input in every encoding: from the file, through a micro-batch, to the rows of a run."""

import threading

import numpy as np
import numpy.typing as npt
import pytest

from inference.device.jpeg import jpeg_decoder
from inference.device.staging import Staging
from inference.image import Size, prepare
from inference.models import InputSpec, encoding_of
from inference.worker.read_batch import read_work
from infra.failures.outcomes import FrameRecord
from infra.failures.unknown_versions import VersionGuard
from infra.settings import Settings, StreamSettings
from schemas import codec
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import ConfigError
from schemas.records import Encoding, Frame, PixelEncoding, SourceKind
from streams.stage.frames import PendingFrame, PreparedFrame
from streams.stage.packing import pack
from streams.stage.writer import require_room
from tests.support.batches import batch_record
from tests.support.images import MAX_PIXELS, encoded, exif, with_exif
from tests.support.pixels import picture_of, scene_cut, scene_picture, through_i420

SIZES = [
    (224, 224), (225, 225), (226, 226), (299, 299), (331, 331), (225, 300), (300, 225), (224, 331),
    (1, 2), (2, 1), (1, 3), (3, 1), (1, 224), (224, 1), (225, 1), (1, 225), (3, 3), (2, 2),
]  # fmt: skip
ENCODINGS = list(PixelEncoding)
# Of a channel: the rounding of I420, twice, and that of the pixels.
ROUNDING = 3.5
# The same, with the loss of JPEG and the cut's rounding to whole pixels of the original.
CLOSE = 6.0

GUARD = VersionGuard("this worker", ())


def rows_of(files: list[bytes], spec: InputSpec, encoding: PixelEncoding) -> npt.NDArray[np.uint8]:
    """The rows that the model is given: prepared as in the stream stage, packed, read and laid out by the worker."""
    size = Size(spec.width, spec.height, spec.resize)
    frames = []
    for offset, data in enumerate(files):
        frame = Frame(f"cam/1/{offset}", "cam", SourceKind.CAMERA, 1, offset, 1, 1, Encoding.OTHER, data)
        record = FrameRecord(Coordinates("frames.raw", 0, offset), 1, b"cam", b"", [])
        image = prepare(data, size, encoding, MAX_PIXELS)
        frames.append(PreparedFrame(PendingFrame(record, lambda: None), frame, bytes(16), image))
    staging = Staging(spec, max_rows=len(files), max_delay_ms=0, decode_jpeg=jpeg_decoder(spec, StreamSettings()))
    filling = threading.Thread(target=staging.fill_runs)
    filling.start()
    rows = []
    for packed in pack(frames, "live", encoding, 100, 1 << 30):
        work = read_work(batch_record(TopicPartition("batches", 0), 0, codec.encode(packed.batch)), 1, spec, GUARD)
        assert work.bad is None and not work.outcomes
        staging.put(work)
        run = staging.next_run()
        assert run is not None and not run.rejected
        assert encoding_of(run.pixels, spec) is (spec.encoding if encoding is PixelEncoding.JPEG else encoding)
        rows.append(run.pixels.copy())
        staging.finished(run)
    staging.close()
    filling.join()
    return np.concatenate(rows)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("takes", [PixelEncoding.I420, PixelEncoding.RGB24])
def test_the_model_sees_each_pixel_at_its_place(
    size: tuple[int, int], encoding: PixelEncoding, takes: PixelEncoding
) -> None:
    """Pictures that have the model's size already: nothing is scaled, so each pixel can be told."""
    width, height = size
    spec = InputSpec(width, height, resize=min(size), encoding=takes)
    rng = np.random.default_rng(7)
    # One colour for each 2 x 2 block, so that I420 loses none of it; all of them differ.
    blocks = rng.integers(40, 216, (2, (height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    pictures = blocks.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    rows = rows_of([encoded(picture, "PNG") for picture in pictures], spec, encoding)
    arrived = takes if encoding is PixelEncoding.JPEG else encoding
    for row, picture in zip(rows, pictures, strict=True):
        seen = picture_of(row, arrived, width, height)
        assert np.abs(seen - picture).max() <= (0 if arrived is PixelEncoding.RGB24 else ROUNDING)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("source", [(641, 481), (240, 427)])
def test_the_model_sees_the_centre_of_the_picture(
    size: tuple[int, int], encoding: PixelEncoding, source: tuple[int, int]
) -> None:
    """Real files of other sizes, against a scene that is known at every place."""
    width, height = size
    spec = InputSpec(width, height, resize=max(2, round(min(size) * 1.14)))
    picture = scene_picture(*source)
    files = [encoded(picture, quality=97, subsampling=0), encoded(picture, "PNG")]
    # The same picture as a camera stores it that hangs on its side: orientation 6 is undone by a quarter turn.
    files.append(with_exif(encoded(np.rot90(picture).copy(), quality=97, subsampling=0), exif(6)))
    arrived = spec.encoding if encoding is PixelEncoding.JPEG else encoding
    wanted = scene_cut(source, width, height, spec.resize)
    if arrived is PixelEncoding.I420:
        wanted = through_i420(wanted)
    for row in rows_of(files, spec, encoding):
        assert np.abs(picture_of(row, arrived, width, height) - wanted).max() <= CLOSE


@pytest.mark.parametrize(("encoding", "fits"), [("I420", True), ("RGB24", False), ("JPEG", True)])
def test_a_model_whose_images_fit_into_no_record_is_refused_at_the_start(encoding: str, fits: bool) -> None:
    settings = Settings.model_validate({"stream": {"encoding": encoding}})
    if fits:
        require_room(settings, InputSpec(2000, 2001, 2200))
        return
    with pytest.raises(ConfigError, match=r"2000x2001 .* RGB24, and topics\.max_frame_bytes is 8388608"):
        require_room(settings, InputSpec(2000, 2001, 2200))
