"""What `sightline audit` prints for people."""

from infra.audit.balance import Balance
from schemas.coordinates import Coordinates
from sinks.audit.text import describe, missing_places


def at(offset: int, partition: int = 0) -> Coordinates:
    return Coordinates("frames.raw", partition, offset)


def test_people_read_the_coordinates_of_what_is_missing() -> None:
    missing = [at(17), at(20), at(21), at(22), at(3, 1)]
    assert missing_places(Balance(9, 4, 0, 0, missing, 5)) == [
        "frames.raw/0 offset 17",
        "frames.raw/0 offsets 20 to 22",
        "frames.raw/1 offset 3",
    ]
    corrected = describe(Balance(9, 9, 0, 1, [], 0, corrections=4), [])
    assert "duplicates    1" in corrected
    assert "corrections   4  labels promoted from replays" in corrected
    assert "corrections" not in describe(Balance(9, 9, 0, 1, [], 0), [])
    text = describe(Balance(1_234, 1_000, 3, 2, missing, 231), ["a note"])
    assert "frames        1,234" in text
    assert "and 226 more" in text
    assert text.endswith("note: a note\nNOT ok: 231 frames have no outcome")
    assert describe(Balance(1, 1, 0, 0, [], 0), []).endswith("ok: every frame has its outcome")
