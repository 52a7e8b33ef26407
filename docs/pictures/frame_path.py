"""Draws `frame_path.svg`, the way of a frame through the processes: `python -m docs.pictures.frame_path` writes it.

A unit test compares the file with what this gives, and looks for every file name that the picture shows.
"""

from pathlib import Path

WIDTH, HEIGHT = 1080, 1260
SVG = Path(__file__).with_suffix(".svg")

# Each class: its colours in light mode, then in dark mode.
COLOURS = {
    "page": ("fill:#ffffff", "fill:#0d1117"),
    "process": ("fill:#f6f8fa;stroke:#c4ccd4", "fill:#161b22;stroke:#3d444d"),
    "step": ("fill:#ffffff;stroke:#8c959f", "fill:#0d1117;stroke:#768390"),
    "topic": ("fill:#ddf4ff;stroke:#0969da", "fill:#0f2742;stroke:#4493f8"),
    "retry": ("fill:#fff8c5;stroke:#9a6700", "fill:#2e2611;stroke:#d29922"),
    "dead": ("fill:#ffebe9;stroke:#cf222e", "fill:#361518;stroke:#f85149"),
    "redis": ("fill:#dafbe1;stroke:#1a7f37", "fill:#12301c;stroke:#3fb950"),
    "text": ("fill:#1f2328", "fill:#e6edf3"),
    "muted": ("fill:#59636e", "fill:#9da7b1"),
    "number": ("fill:#0969da", "fill:#1f6feb"),
    "flow": ("stroke:#424a53;fill:none", "stroke:#b1bac4;fill:none"),
    "commit": ("stroke:#8250df;fill:none", "stroke:#b083f0;fill:none"),
    "flow-head": ("fill:#424a53", "fill:#b1bac4"),
    "commit-head": ("fill:#8250df", "fill:#b083f0"),
    "cache": ("stroke:#1a7f37;fill:none", "stroke:#3fb950;fill:none"),
    "cache-head": ("fill:#1a7f37", "fill:#3fb950"),
}
FONTS = """
text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; font-size: 13px }
.bold { font-weight: 600 }
.big { font-size: 15px; font-weight: 600 }
.file { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11px }
.badge { fill: #ffffff; font-size: 11px; font-weight: 600 }
.flow, .commit, .cache { stroke-width: 1.6 }
.commit { stroke-dasharray: 5 3 }
.cache { stroke-dasharray: 2 3 }
"""


class Picture:
    """Collects shapes in the order in which they are painted."""

    def __init__(self) -> None:
        self._shapes: list[str] = []

    def rect(self, kind: str, x: int, y: int, w: int, h: int, radius: int = 6) -> None:
        self._shapes.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="{radius}"/>')

    def text(self, kind: str, x: int, y: int, words: str, anchor: str = "start") -> None:
        words = words.replace("&", "&amp;").replace("<", "&lt;")
        self._shapes.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>')

    def line(self, kind: str, *points: tuple[int, int]) -> None:
        """An arrow along the points, with its head at the last."""
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        self._shapes.append(f'<path class="{kind}" d="{path}" marker-end="url(#{kind}-head)"/>')

    def process(self, y: int, h: int, name: str, remark: str) -> None:
        self.rect("process", 20, y, WIDTH - 40, h, 10)
        self.text("text big", 36, y + 24, name)
        self.text("muted", 260, y + 24, remark)

    def step(self, number: int, x: int, y: int, w: int, words: list[str], *files: str) -> None:
        """A box: a number, where it runs in bold, what it does, and the files."""
        h = 18 + 17 * len(words) + 15 * len(files)
        self.rect("step", x, y, w, h)
        if number:
            self._shapes.append(f'<circle class="number" cx="{x}" cy="{y + 3}" r="10"/>')
            self.text("badge", x, y + 7, str(number), "middle")
        for index, line in enumerate(words):
            self.text("text bold" if index == 0 else "text", x + 16, y + 20 + 17 * index, line)
        for index, file in enumerate(files):
            self.text("muted file", x + 16, y + 20 + 17 * len(words) + 15 * index - 2, file)

    def topic(self, kind: str, x: int, y: int, w: int, name: str, remark: str) -> None:
        self.rect(kind, x, y, w, 38, 19)
        self.text("text bold", x + 20, y + 24, name)
        self.text("muted", x + w - 20, y + 24, remark, "end")

    def svg(self) -> str:
        light = "\n".join(f".{kind} {{ {colours[0]} }}" for kind, colours in COLOURS.items())
        dark = "\n".join(f".{kind} {{ {colours[1]} }}" for kind, colours in COLOURS.items())
        heads = "".join(
            f'<marker id="{kind}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path class="{kind}-head" d="M0 0 L8 4 L0 8 Z"/></marker>'
            for kind in ("flow", "commit", "cache")
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" role="img" aria-label="The way of a frame through Sightline">\n'
            f"<style>\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}{FONTS}</style>\n"
            f"<defs>{heads}</defs>\n" + "\n".join(self._shapes) + "\n</svg>\n"
        )


def frame_path() -> str:
    """The whole picture, top to bottom as a frame goes."""
    picture = Picture()
    picture.rect("page", 0, 0, WIDTH, HEIGHT, 0)
    _camera(picture, 20)
    picture.topic("topic", 40, 204, 560, "frames.raw", "key: source id; the bytes as the camera gave them")
    picture.topic("retry", 640, 204, 400, "frames.retry", "again after 1 s, 30 s, 5 min")
    _stream(picture, 276)
    picture.topic("topic", 40, 650, 380, "frames.batches", "micro-batches of pixels")
    picture.topic("dead", 460, 650, 280, "frames.dead", "with the reason")
    picture.topic("redis", 780, 650, 260, "Redis", "labels by image hash")
    _worker(picture, 722)
    picture.topic("topic", 40, 1008, 560, "labels", "every decision, with the frame's coordinates")
    picture.topic("topic", 640, 1008, 400, "labels.review", "the uncertain ones")
    _consumers(picture, 1080)
    _legend(picture, 1238)
    return picture.svg()


def _camera(picture: Picture, y: int) -> None:
    picture.process(y, 152, "sightline camera", "one agent, many sources; it reads no topic, so it commits nothing")
    top = y + 44
    steps = [
        ("Capture process", "a group of cameras: grab,", "sample, encode", "ingest/capture/main.py"),
        ("Feed thread", "one a source: watch it,", "open it again", "ingest/camera/feed.py"),
        ("Frame buffer", "full: a live camera loses", "its oldest frame", "ingest/camera/buffer.py"),
        ("Main thread", "number it, encode the Frame,", "send", "ingest/publish/outbox.py"),
    ]
    for index, (where, *what, file) in enumerate(steps):
        picture.step(index + 1, 40 + 260 * index, top, 220, [where, *what], file)
        if index:
            picture.line("flow", (260 * index, top + 42), (40 + 260 * index, top + 42))
    picture.line("flow", (930, top + 84), (930, 190), (480, 190), (480, 204))


def _stream(picture: Picture, y: int) -> None:
    picture.process(y, 340, "sightline stream", "Faust, one event loop; group sightline-stream")
    top, middle, low = y + 44, y + 148, y + 250
    hold = ["Retry thread (group sightline-retry)", "hold each frame until it is due"]
    picture.step(5, 40, top, 230, ["Consumer thread", "fetch into a queue of 8 MiB"], "streams/source/app.py")
    window = ["Event loop: gate, then window", "closed by count, bytes or deadline"]
    picture.step(6, 300, top, 330, window, "streams/stage/windows.py")
    picture.step(7, 690, top, 350, hold, "streams/retry/consumer.py")
    picture.step(8, 40, middle, 230, ["Cache look-up", "one round trip a window"], "inference/cache/exact.py")
    decode = ["Decode processes", "check, decode, orient, cut, measure"]
    picture.step(9, 300, middle, 330, decode, "inference/image/prepare.py")
    write = ["Event loop: write in order", "labels, micro-batches, retries, dead letters"]
    picture.step(10, 690, middle, 350, write, "streams/stage/writer.py")
    picture.step(11, 40, low, 230, ["Offsets in order: commit"], "streams/source/commits.py")
    picture.step(0, 300, low, 330, ["Monitor and watchdog threads"], "streams/watch/monitor.py")
    picture.step(0, 690, low, 350, ["Producer thread: delivery reports"], "infra/kafka/publisher.py")
    picture.line("flow", (235, 242), (235, top))
    picture.line("flow", (860, 242), (860, top))
    picture.line("flow", (270, top + 34), (300, top + 34))
    picture.line("flow", (690, top + 34), (630, top + 34))
    picture.line("flow", (465, top + 67), (465, top + 86), (155, top + 86), (155, middle))
    picture.line("flow", (270, middle + 34), (300, middle + 34))
    picture.line("flow", (630, middle + 34), (690, middle + 34))
    picture.line("flow", (865, middle + 67), (865, low))
    picture.line("flow", (760, low + 50), (760, low + 68), (155, low + 68), (155, low + 50))
    picture.line("flow", (820, low + 50), (820, 634), (600, 634), (600, 650))
    picture.line("flow", (600, 634), (230, 634), (230, 650))
    picture.line("flow", (230, 634), (10, 634), (10, 1027), (40, 1027))
    picture.text("muted", 40, 629, "cache hits: labels at once")
    picture.line("flow", (1040, low + 26), (1070, low + 26), (1070, 223), (1040, 223))
    picture.line("cache", (155, middle + 67), (155, middle + 84), (1050, middle + 84), (1050, 662), (1040, 662))
    picture.line("commit", (40, low + 38), (27, low + 38), (27, 223), (40, 223))
    picture.line("commit", (1000, top), (1000, 242))


def _worker(picture: Picture, y: int) -> None:
    picture.process(y, 254, "sightline infer", "confluent-kafka, one model on one device; group sightline-infer")
    top, low = y + 44, y + 146
    steps = [
        ("Poll thread", "read, check, pause, commit", "inference/worker/loop.py"),
        ("Lay-out thread", "merge batches into a run", "inference/device/runs.py"),
        ("Device thread", "run the model; split, retry", "inference/device/scoring.py"),
        ("Labels thread", "top-k to labels, decide", "inference/worker/pipeline.py"),
    ]
    for index, (where, what, file) in enumerate(steps):
        picture.step(12 + index, 40 + 260 * index, top, 220, [where, what], file)
        if index:
            picture.line("flow", (260 * index, top + 34), (40 + 260 * index, top + 34))
    files = [f"inference/worker/delivery/{name}.py" for name in ("at_least_once", "exactly_once")]
    deliver = ["Delivery: labels, retries, dead letters; then offsets", "at least once, or both in one transaction"]
    picture.step(16, 40, low, 440, deliver, *files)
    picture.step(
        0, 520, low, 260, ["Watchdog threads", "end a worker that hangs"], "inference/worker/stall_watchdog.py"
    )
    picture.step(17, 820, low, 220, ["Cache thread", "store what is settled"], "inference/cache/writer.py")
    picture.line("flow", (235, 688), (235, top))
    picture.line("flow", (930, top + 67), (930, top + 84), (260, top + 84), (260, low))
    picture.line("flow", (260, low + 82), (260, 1008))
    picture.line("flow", (260, 992), (840, 992), (840, 1008))
    picture.line("cache", (1040, low + 34), (1050, low + 34), (1050, 676), (1040, 676))
    picture.line("commit", (40, low + 50), (27, low + 50), (27, 669), (40, 669))


def _consumers(picture: Picture, y: int) -> None:
    picture.process(y, 130, "Consumers of labels", "each at its own pace")
    top = y + 44
    columns = [
        ("sightline subscribe", "no group, commits nothing", "sinks/subscribe/command.py"),
        ("a sink, such as sink jsonl", "group sightline-sink-NAME", "sinks/base/loop.py"),
        ("sightline audit", "no group, commits nothing", "sinks/audit/command.py"),
    ]
    for index, (name, group, file) in enumerate(columns):
        x = 40 + 345 * index
        picture.step(18 + index, x, top, 310, [name, group], file)
    picture.line("flow", (235, 1046), (235, top))
    picture.line("flow", (480, 1046), (480, top))
    picture.line("commit", (540, top), (540, 1046))
    picture.line("flow", (235, 1062), (885, 1062), (885, top))


def _legend(picture: Picture, y: int) -> None:
    for x, kind, words in (
        (40, "flow", "frames, batches, labels"),
        (300, "commit", "offsets committed"),
        (520, "cache", "labels of images seen before"),
    ):
        picture.line(kind, (x, y), (x + 36, y))
        picture.text("muted", x + 46, y + 4, words)


if __name__ == "__main__":
    SVG.write_text(frame_path())
