"""/livez, /readyz and /metrics of a process, served by a thread of its own."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.process import logs
from infra.settings import HttpSettings
from schemas.errors import ConfigError

log = logs.get(__name__)

Probe = Callable[[], str | None]


def fine() -> str | None:
    """A probe that always reports health."""
    return None


class HealthServer:
    """Serves two probes. A probe returns None (status 200) or the reason why not (status 503).

    Live: the process can go on and needs no restart. Ready: frames pass through the process.
    """

    def __init__(self, settings: HttpSettings, live: Probe = fine, ready: Probe = fine) -> None:
        try:
            self._server = ThreadingHTTPServer((settings.host, settings.port), _handler(live, ready))
        except OSError as error:
            raise ConfigError(f"cannot serve health on {settings.host}:{settings.port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        log.info(
            "serving health",
            url=f"http://{self._server.server_address[0]!s}:{self.port}/readyz",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(live: Probe, ready: Probe) -> type[BaseHTTPRequestHandler]:
    probes = {"/livez": live, "/readyz": ready}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif path in probes:
                reason = probes[path]()
                self._answer(
                    503 if reason else 200,
                    (reason or "ok").encode() + b"\n",
                    "text/plain; charset=utf-8",
                )
            else:
                self._answer(404, b"/livez /readyz /metrics\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("health request", line=format % args)

    return Handler
