"""One upload after the other to a gateway, with its refusals honoured. From one thread; several may run beside."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from infra.process.lifecycle import Stop
from schemas.errors import ConfigError

TIMEOUT_S = 60.0
# Answers after which the same request may succeed.
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
BACKOFF_S = (1.0, 30.0)
LABEL_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one request: a frame id or a label, or why not."""

    value: str | None
    error: str = ""


class GatewayClient:
    """Tries again for `patience_s` after answers that pass, as the gateway says with Retry-After."""

    def __init__(
        self,
        url: str,
        key: str,
        stop: Stop,
        patience_s: float,
        on_wait: Callable[[str, float], None] = lambda _why, _seconds: None,
    ) -> None:
        self._stop, self._patience_s, self._on_wait = stop, patience_s, on_wait
        try:
            self._client = httpx2.Client(
                base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=TIMEOUT_S, trust_env=False
            )
        except (httpx2.InvalidURL, UnicodeEncodeError, ValueError) as error:
            raise ConfigError(f"--url {url}: {error}") from error

    def close(self) -> None:
        self._client.close()

    def upload(self, name: str, data: bytes, digest: str) -> Result:
        """The frame id. The digest is the idempotency key: after a lost answer nothing is there twice."""
        headers = {"idempotency-key": digest, "content-type": "application/octet-stream"}
        answer = self._ask("POST", f"/v1/frames?name={quote(name[:255])}", headers, data)
        if isinstance(answer, Result):
            return answer
        if answer.status_code != 202:
            return Result(None, told(answer.content, answer.status_code))
        return Result(str(json.loads(answer.content)["frames"][0]["frame_id"]))

    def label(self, frame_id: str) -> Result:
        """The label as JSON, once it is there."""
        until_s = time.monotonic() + self._patience_s
        while True:
            answer = self._ask("GET", f"/v1/labels/{frame_id}?wait={LABEL_WAIT_S:g}", {}, None)
            if isinstance(answer, Result):
                return answer
            if answer.status_code == 200:
                return Result(answer.text)
            has_none_yet = answer.status_code == 404 and "retry-after" in answer.headers
            if not has_none_yet or time.monotonic() > until_s or self._stop.is_set():
                return Result(None, told(answer.content, answer.status_code))

    def _ask(self, method: str, path: str, headers: dict[str, str], data: bytes | None) -> httpx2.Response | Result:
        until_s = time.monotonic() + self._patience_s
        attempt = 0
        while True:
            after: str | None = None
            try:
                answer = self._client.request(method, path, headers=headers, content=data)
                if answer.status_code not in AGAIN:
                    return answer
                why, after = told(answer.content, answer.status_code), answer.headers.get("retry-after")
            except httpx2.HTTPError as error:
                why = f"{type(error).__name__}: {error}"
            wait_s = retry_wait_s(after, attempt)
            attempt += 1
            if time.monotonic() + wait_s > until_s:
                return Result(None, why)
            self._on_wait(why, wait_s)
            if self._stop.wait(wait_s):
                return Result(None, f"stopped; {why}")


def retry_wait_s(retry_after: str | None, attempt: int) -> float:
    """What the server wants, else doubled from 1 s to 30 s. Pure."""
    first_s, most_s = BACKOFF_S
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    return min(most_s, first_s * 2.0 ** min(attempt, 10))


def told(body: bytes, status: int) -> str:
    """What an answer that is no success says. Pure."""
    try:
        found: Any = json.loads(body)
        return f"{status} {found['code']}: {found['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{status}"
