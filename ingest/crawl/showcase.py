"""`python -m ingest.crawl.showcase PARENT_PID`: the demo's crawler. It crawls a small site that it serves itself.

The site lies on the loopback device, so the policy allows the address and port that this process has bound, and no
other. Nothing that is given to the process changes that. It stops with its parent, or by SIGTERM.
"""

import signal
import sys
import tempfile
from pathlib import Path

import cv2

from infra.net.policy import OnlyEndpoint
from infra.process import logs
from infra.process.children import die_with_parent
from infra.process.lifecycle import Stop
from infra.settings import load_settings
from ingest.crawl.local_site import ADDRESS, gallery, serving
from ingest.crawl.seeds import read_seeds
from ingest.crawl.service import run_crawl
from ingest.sources.render import render
from ingest.sources.sim import MIX_NAMES, SimSpec

PER_PHOTO, PER_PAGE = 40, 160
# The crawl of the whole site takes some minutes.
PER_S = 2.0


def main() -> None:
    die_with_parent(signal.SIGTERM, int(sys.argv[1]))
    settings = load_settings({"crawl": {"per_host_per_s": PER_S, "domains": None}})
    logs.setup(settings.log)
    stop = Stop().install()
    site = gallery(photos(), PER_PAGE)
    with serving(site) as port, tempfile.TemporaryDirectory(prefix="sightline-demo-") as folder:
        seeds = read_seeds(f"http://{ADDRESS}:{port}/")
        run_crawl(settings, seeds, Path(folder) / "state", stop, OnlyEndpoint(ADDRESS, port))
        stop.wait()


def photos() -> dict[str, bytes]:
    """JPEG images by name: parts of the photos that simulated cameras show, the photos in turn."""
    found = {}
    for number in range(PER_PHOTO):
        for name in MIX_NAMES:
            image = render(SimSpec(name, 320, 240, seed=number), time_s=2.5)
            found[f"{name}-{number}.jpg"] = cv2.imencode(".jpg", image)[1].tobytes()
    return found


if __name__ == "__main__":
    main()
