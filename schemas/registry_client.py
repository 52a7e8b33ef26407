"""Schema registry client: the two calls of the Confluent API that the codec needs."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2

from schemas.errors import BadFrame, Unavailable, UnknownVersion

Schema = dict[str, Any]
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
# Status codes that are about the service, and not about the id that was asked for.
OF_THE_SERVICE = {401, 403, 408, 429}
UNKNOWN_FOR_S = 60.0
MAX_UNKNOWN = 10_000


class HttpRegistry:
    """Registers what we write and fetches what others wrote; both are asked once and kept.

    Raises Unavailable when the registry does not answer, gives an answer that is not a registry's, or refuses our
    schema; UnknownVersion for an id that it does not know, and BadFrame(`schema_unknown`) for one that is not an Avro
    schema. Such an id is asked for again after a minute at the earliest: any five bytes may be an id, and each request
    holds up the stage.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url.rstrip("/")
        self._shown = str(httpx2.URL(self._url).copy_with(userinfo=b""))
        self._clock = clock
        self._http = httpx2.Client(
            timeout=timeout_s,
            headers={"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE},
        )
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}
        self._unknown: dict[int, tuple[float, BadFrame]] = {}  # until when, and why; the oldest first

    def id_for(self, subject: str, schema: Schema) -> int:
        """The id of `schema` under `subject`, registered when new, with BACKWARD_TRANSITIVE compatibility."""
        with self._lock:
            if subject not in self._ids:
                # An id answers for the subject once its compatibility was set.
                self._ask(
                    "PUT",
                    f"/config/{subject}",
                    {"compatibility": "BACKWARD_TRANSITIVE"},
                )
                path = f"/subjects/{subject}/versions"
                schema_id = self._ask("POST", path, {"schema": json.dumps(schema)}).get("id")
                if not isinstance(schema_id, int):
                    raise self._odd(f"POST {path} without an id")
                self._ids[subject] = schema_id
            return self._ids[subject]

    def schema_for(self, schema_id: int) -> Schema:
        """The writer's schema with that id."""
        with self._lock:
            if schema_id not in self._schemas:
                until, why = self._unknown.get(schema_id, (0.0, None))
                if why is not None and self._clock() < until:
                    raise type(why)(why.reason, why.detail)
                try:
                    self._schemas[schema_id] = _avro(schema_id, self._ask("GET", f"/schemas/ids/{schema_id}", None))
                except BadFrame as bad:
                    self._remember(schema_id, bad)
                    raise
            return self._schemas[schema_id]

    def close(self) -> None:
        self._http.close()

    def _remember(self, schema_id: int, why: BadFrame) -> None:
        self._unknown.pop(schema_id, None)
        if len(self._unknown) >= MAX_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[schema_id] = self._clock() + UNKNOWN_FOR_S, why

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, json=body)
        except httpx2.HTTPError as error:
            raise Unavailable(
                "the schema registry",
                self._shown,
                f"{error}; check SIGHTLINE_SCHEMA_REGISTRY_URL",
            ) from error
        status = response.status_code
        if method == "GET" and response.is_client_error and status not in OF_THE_SERVICE:
            raise UnknownVersion("schema_unknown", f"the registry has nothing at {path} (answer {status})")
        if not response.is_success:
            raise self._odd(f"{method} {path} with {status} {response.text[:300]!r}")
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._odd(f"{method} {path} with {status} and no JSON object")
        return answer

    def _odd(self, what: str) -> Unavailable:
        hint = f"answers {what}; check SIGHTLINE_SCHEMA_REGISTRY_URL"
        return Unavailable("the schema registry", self._shown, hint, answers=True)


def _avro(schema_id: int, answer: dict[str, Any]) -> Schema:
    kind, text = answer.get("schemaType") or "AVRO", answer.get("schema")
    if kind != "AVRO":
        raise BadFrame("schema_unknown", f"id {schema_id} of the registry is a schema of type {kind!r}"[:300])
    if not isinstance(text, str):
        raise BadFrame("schema_unknown", f"id {schema_id} of the registry has no schema's text")
    try:
        schema: Schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadFrame("schema_unknown", f"id {schema_id} of the registry is no JSON: {error}") from error
    return schema
