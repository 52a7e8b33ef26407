"""A camera that speaks HTTP: a snapshot, a motion JPEG stream, and the pages that cameras answer with instead."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = "joe", "s3cr@t/word"
STREAM_FPS = 20


@contextmanager
def http_camera(jpeg: bytes) -> Iterator[str]:
    """Its address, `127.0.0.1:PORT`: /snap.jpg, /private.jpg (basic authentication), /stream.mjpg, /login, /broken."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(jpeg))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(jpeg: bytes) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path:
                case "/snap.jpg":
                    self._answer(200, "image/jpeg", jpeg)
                case "/private.jpg" if self.headers.get("Authorization") == expected:
                    self._answer(200, "image/jpeg", jpeg)
                case "/private.jpg":
                    self._answer(401, "text/html", b"who are you?")
                case "/stream.mjpg":
                    self._stream()
                case "/login":
                    self._answer(200, "text/html; charset=utf-8", b"<html>log in</html>")
                case _:
                    self._answer(503, "text/plain", b"busy")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                while True:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    time.sleep(1 / STREAM_FPS)
            except OSError:
                return  # the client closed the connection

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
