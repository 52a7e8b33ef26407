"""Where a spool is, and who may use it."""

from pathlib import Path

import pytest

from infra.kafka.sender import OutRecord
from infra.settings import SpoolSettings
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.publish.spool.opening import folder_for, route, was_used
from schemas.errors import ConfigError
from schemas.records import Encoding, SourceKind
from tests.support.memory_sender import MemorySender


def test_one_process_uses_a_folder(tmp_path: Path) -> None:
    outbox = Outbox(MemorySender(), "frames.raw", lambda *_: None, retention_h=24)
    settings, folder = SpoolSettings(), tmp_path / "spool"
    assert not was_used(folder)
    with route(settings, folder, outbox, lambda _: 1.0) as first:
        first.work()
        assert was_used(folder)
        with (
            pytest.raises(ConfigError, match="another process uses the spool"),
            route(settings, folder, outbox, lambda _: 1.0),
        ):
            pass
    with route(settings, folder, outbox, lambda _: 1.0):
        pass


def test_a_folder_that_cannot_be_used_ends_the_start_only_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder, sender = tmp_path / "file" / "spool", MemorySender()
    outbox = Outbox(sender, "frames.raw", lambda *_: None, retention_h=24)
    with (
        pytest.raises(ConfigError, match=r"spool cannot be used: .* Set spool\.folder"),
        route(SpoolSettings(folder=str(folder)), folder, outbox, lambda _: 1.0),
    ):
        pass
    with route(SpoolSettings(), folder, outbox, lambda _: 1.0) as direct:
        frame = OutgoingFrame("cam", SourceKind.CAMERA, 1, 1, 1, Encoding.JPEG, b"x", "sim:", live=True)
        assert direct.publish(frame, lambda: False)
    assert [type(one) for one in sender.records] == [OutRecord]


def test_the_folder_is_the_same_for_the_same_cameras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    default = SpoolSettings()
    folder = folder_for(default, "frames.raw", ["a", "b"])
    assert folder == folder_for(default, "frames.raw", ["b", "a"])
    assert folder.parent == tmp_path / "spool"
    others = {
        folder_for(default, topic, names) for topic, names in (("t-frames.raw", ["a", "b"]), ("frames.raw", ["a"]))
    }
    assert folder not in others
    assert folder_for(SpoolSettings(folder="x"), "frames.raw", ["a"]) == Path("x").absolute()
