"""Errors as answers of HTTP, by RFC 9457 (problem+json). Pure."""

import json
import math
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


@dataclass
class Problem(Exception):
    """Answer a request with this status. `code` is a short snake_case word for programs, `detail` is for people."""

    status: int
    code: str
    detail: str
    retry_after_s: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After is in whole seconds: never sooner than meant."""
        found = {"cache-control": "no-store"}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            found["www-authenticate"] = 'Bearer realm="sightline"'
        return found

    def body(self) -> bytes:
        fields = {
            "type": f"urn:sightline:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.more,
        }
        return json.dumps(fields, separators=(",", ":")).encode()
