"""Schema registry client: the two calls of the Confluent API that the codec needs."""

import json
import threading
from typing import Any

import httpx

from schemas.errors import BadFrame, Unavailable

Schema = dict[str, Any]
CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class HttpRegistry:
    """Registers what we write and fetches what others wrote; both are asked once and kept.

    Raises Unavailable when the registry does not answer or refuses a schema, BadFrame(`schema_unknown`) for an id
    that it does not know, or knows as something else than an Avro schema.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._shown = str(httpx.URL(self._url).copy_with(userinfo=b""))
        self._http = httpx.Client(
            timeout=timeout_s,
            headers={"content-type": CONTENT_TYPE, "accept": CONTENT_TYPE},
        )
        self._lock = threading.Lock()
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, Schema] = {}

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
                answer = self._ask(
                    "POST",
                    f"/subjects/{subject}/versions",
                    {"schema": json.dumps(schema)},
                )
                self._ids[subject] = int(answer["id"])
            return self._ids[subject]

    def schema_for(self, schema_id: int) -> Schema:
        """The writer's schema with that id."""
        with self._lock:
            if schema_id not in self._schemas:
                answer = self._ask("GET", f"/schemas/ids/{schema_id}", None)
                self._schemas[schema_id] = _avro(schema_id, answer)
            return self._schemas[schema_id]

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._http.request(method, self._url + path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                "the schema registry",
                self._shown,
                f"{error}; check SIGHTLINE_SCHEMA_REGISTRY_URL",
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND and method == "GET":
            raise BadFrame("schema_unknown", f"the registry has nothing at {path}")
        if response.is_error:
            raise Unavailable(
                "the schema registry",
                self._shown,
                f"{method} {path}: {response.status_code} {response.text[:300]}",
            )
        answer: dict[str, Any] = response.json()
        return answer


def _avro(schema_id: int, answer: dict[str, Any]) -> Schema:
    kind = answer.get("schemaType") or "AVRO"
    if kind != "AVRO":
        raise BadFrame("schema_unknown", f"id {schema_id} of the registry is a schema of type {kind}")
    try:
        schema: Schema = json.loads(answer["schema"])
    except ValueError as error:
        raise BadFrame("schema_unknown", f"id {schema_id} of the registry is no JSON: {error}") from error
    return schema
