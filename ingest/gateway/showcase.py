"""`python -m ingest.gateway.showcase PARENT_PID`: the demo's gateway, and somebody who uploads photos to it.

The gateway listens on a free port of the loopback device, with a key that ends with this process. It stops with its
parent, or by SIGTERM.
"""

import signal
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path

import cv2
import httpx2

from infra.net.policy import GlobalAddresses
from infra.process import logs
from infra.process.children import die_with_parent
from infra.process.lifecycle import Stop
from infra.process.ports import find_ports
from infra.settings import load_settings
from ingest.gateway import service
from ingest.gateway.keys import SCOPES, Key, digest_of, new_token
from ingest.gateway.store import Store
from ingest.sources.render import render
from ingest.sources.sim import MIX_NAMES, SimSpec
from schemas.webhooks import new_secret

log = logs.get(__name__)

KEY_NAME, HOST = "upload", "127.0.0.1"
UPLOAD_EVERY_S, LABEL_WAIT_S, TIMEOUT_S = 2.0, 10, 30.0


def main() -> None:
    die_with_parent(signal.SIGTERM, int(sys.argv[1]))
    stop = Stop().install()
    [port] = find_ports(1)
    with tempfile.TemporaryDirectory(prefix="sightline-demo-") as folder:
        settings = load_settings({"gateway": {"host": HOST, "port": port, "state": folder}})
        logs.setup(settings.log)
        token = new_token()
        with Store(Path(folder)) as store:
            store.add_key(Key(KEY_NAME, digest_of(token), SCOPES, int(time.time()), None, None, None, new_secret()))
        threading.Thread(target=upload, args=(f"http://{HOST}:{port}", token, stop), daemon=True).start()
        service.run(settings, GlobalAddresses(), stop)


def upload(url: str, token: str, stop: Stop) -> None:
    """A photo every `UPLOAD_EVERY_S`, and its label read back, until `stop` is set."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        for number in count():
            if stop.wait(UPLOAD_EVERY_S):
                return
            try:
                sent = client.post("/v1/frames", params={"name": f"photo-{number}.jpg"}, content=photo(number))
                if sent.status_code != httpx2.codes.ACCEPTED:
                    log.warning("the photo was not taken", status=sent.status_code, answer=sent.text)
                    continue
                where = sent.json()["frames"][0]["label"]
                label = client.get(where, params={"wait": LABEL_WAIT_S})
                log.info("photo uploaded", label=label.text)
            except httpx2.HTTPError as error:
                log.warning("the gateway does not answer", error=str(error))


def photo(number: int) -> bytes:
    """A JPEG image, another one for each number."""
    image = render(SimSpec(MIX_NAMES[number % len(MIX_NAMES)], 320, 240, seed=1_000 + number), time_s=2.5)
    return cv2.imencode(".jpg", image)[1].tobytes()


if __name__ == "__main__":
    main()
