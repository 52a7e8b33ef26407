"""The names of folders and files under DIR. Pure.

    DIR/day=2026-11-25/hour=14/labels-1f3a-000000042.jsonl         closed: complete, never changes
    DIR/day=2026-11-25/hour=14/labels-1f3a-000000043.jsonl.part    being written
    DIR/.sightline-sink/manifest.json                              what is flushed (see `manifest`)
    DIR/.sightline-sink/lock                                       held by the sink that writes here

Day and hour are those of `captured_at`, in UTC, because people ask what a camera saw at two o'clock and not when a
worker labelled it. After an outage and in a replay, labels of old hours still arrive; they get new files in the folder
of their hour. So a folder can get more files later, but a file that ends in `.jsonl` never changes. The alternative,
`labelled_at`, keeps fewer files open and makes old folders final, but a query for a time must read all later folders.
"""

from schemas.records import Micros, micros_to_iso

STATE_FOLDER = ".sightline-sink"
MANIFEST, LOCK = f"{STATE_FOLDER}/manifest.json", f"{STATE_FOLDER}/lock"
PART_SUFFIX = ".part"
PART_GLOB = f"day=*/hour=*/labels-*.jsonl{PART_SUFFIX}"
# For a time that no calendar has (Avro accepts any 64-bit number).
NO_HOUR = "day=none/hour=none"


def hour_folder(captured_at: Micros) -> str:
    """The folder for labels captured at this time, relative to DIR."""
    text = micros_to_iso(captured_at)
    return f"day={text[:10]}/hour={text[11:13]}" if text.endswith("Z") else NO_HOUR


def file_name(token: str, number: int) -> str:
    """`token` differs between folders, so that the files of several sinks can be moved into one place."""
    return f"labels-{token}-{number:09d}.jsonl"
