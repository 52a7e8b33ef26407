"""/livez, /readyz and /metrics of a process, served by a thread of its own."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from infra.process import logs
from infra.process.exposition import exposition
from infra.settings import HttpSettings
from schemas.errors import ConfigError

log = logs.get(__name__)

TEXT = "text/plain; charset=utf-8"

Probe = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a request of HTTP."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


# Answers a request by its method and its path with the query; None for what it does not know.
Answer = Callable[[str, str], Page | None]


def no_page(_method: str, _path: str) -> Page | None:
    """Knows no path of its own."""
    return None


def fine() -> str | None:
    """A probe that always reports health."""
    return None


class HealthServer:
    """Serves two probes. A probe returns None (status 200) or the reason why not (status 503).

    Live: the process can go on and needs no restart. Ready: frames pass through the process. `answer` is asked before
    the paths that every process has. `labels`: those that all metrics of this process have, such as its lane.
    """

    def __init__(
        self,
        settings: HttpSettings,
        live: Probe = fine,
        ready: Probe = fine,
        answer: Answer = no_page,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        handler = _handler(live, ready, answer, labels or {})
        try:
            self._server = ThreadingHTTPServer((settings.host, settings.port), handler)
        except OSError as error:
            raise ConfigError(f"cannot serve health on {settings.host}:{settings.port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._server.server_address[0]!s}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        log.info("serving health", url=f"http://{self.address}/readyz")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(live: Probe, ready: Probe, answer: Answer, labels: Mapping[str, str]) -> type[BaseHTTPRequestHandler]:
    probes = {"/livez": live, "/readyz": ready}

    def page(method: str, target: str, accept: str) -> Page:
        found = answer(method, target)
        path = target.partition("?")[0]
        if found is not None:
            return found
        if method == "GET" and path == "/metrics":
            return Page(200, *exposition(accept, labels))
        if method == "GET" and path in probes:
            reason = probes[path]()
            return Page(503 if reason else 200, (reason or "ok").encode() + b"\n", TEXT)
        return Page(404, b"/livez /readyz /metrics\n", TEXT)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = page(self.command, self.path, self.headers.get("Accept", ""))
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

        def log_message(self, format: str, *args: object) -> None:
            log.debug("health request", line=format % args)

    return Handler
