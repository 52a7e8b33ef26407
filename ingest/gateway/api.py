"""The HTTP interface: two operations, with every refusal as problem+json."""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from infra.process import metrics
from infra.process.times import now_us, parse_time
from ingest.gateway import keys
from ingest.gateway.answers import (
    LABEL_EXAMPLE,
    ProblemBody,
    TakenFrames,
    problem_answers,
    upload_body,
    upload_parameters,
)
from ingest.gateway.body import read_body, uploads_in
from ingest.gateway.docs_page import add_docs
from ingest.gateway.intake import Intake, Picture, pictures_of
from ingest.gateway.keys import Key
from ingest.gateway.pressure import Pressure
from ingest.gateway.problems import MEDIA_TYPE, Problem
from ingest.gateway.state import GatewayState
from ingest.gateway.store import Answered
from ingest.gateway.webhooks import check_target
from schemas.errors import ConfigError
from schemas.records import Micros

JSON = "application/json"
NO_STORE = {"cache-control": "no-store"}


class Operations:
    """What the two operations do, without the words of HTTP's routing."""

    def __init__(self, state: GatewayState, intake: Intake, pressure: Pressure) -> None:
        self._state, self._intake, self._pressure = state, intake, pressure

    async def upload(self, request: Request, name: str, captured_at: str | None, target: str | None) -> Answered:
        state = self._state
        # Starlette's own look-up decodes and compares all headers each time.
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
        key = state.key_of(headers.get("authorization", ""), keys.UPLOAD)
        self._check_open()
        wanted = self._target(key, target)
        at = _captured_at(captured_at)
        settings = state.settings
        async with read_body(
            headers, request.receive, state.room, settings.max_body_bytes, settings.body_timeout_s
        ) as body:
            uploads = uploads_in(headers.get("content-type", ""), body, name, settings.max_files)
            pictures = pictures_of(uploads, settings.max_pixels, self._intake.max_image_bytes)
            token = headers.get("idempotency-key", "")
            if not token:
                return await self._publish(key, pictures, at, wanted)
            # Not of the body: the boundary of a multipart one is another each time.
            fingerprint = _fingerprint(pictures, at, wanted)
            answered = state.answered(key, token, fingerprint)
            if answered is not None:
                return answered
            try:
                answered = await self._publish(key, pictures, at, wanted, fingerprint)
            finally:
                state.end_request(key, token, answered)
            return answered

    async def _publish(
        self, key: Key, pictures: list[Picture], at: Micros | None, target: str | None, fingerprint: str = ""
    ) -> Answered:
        if target is not None:
            self._state.room_for_webhooks(len(pictures))
        wall_s = time.time()
        self._state.quotas.take(key, len(pictures), time.monotonic(), wall_s)
        try:
            frame_ids = await self._intake.publish(key, pictures, at)
        except Problem as problem:
            taken = problem.more.get("frames", [])
            self._state.uploaded(taken, target)
            self._state.quotas.give_back(key, len(pictures) - len(taken), wall_s)
            raise
        self._state.uploaded(frame_ids, target)
        frames = [
            {"frame_id": frame_id, "name": picture.name, "label": f"/v1/labels/{frame_id}"}
            for frame_id, picture in zip(frame_ids, pictures, strict=True)
        ]
        return Answered(fingerprint, HTTPStatus.ACCEPTED, json.dumps({"frames": frames}, separators=(",", ":")))

    async def label(self, request: Request, frame_id: str, wait_s: float) -> str:
        key = self._state.key_of(request.headers.get("authorization", ""), keys.LABELS)
        if not key.owns(frame_id):
            raise Problem(403, "not_yours", f"the key {key.name} reads the labels of its own uploads alone")
        wait_s = 0.0 if self._intake.closing else min(wait_s, self._state.settings.max_wait_s)
        outcome = await self._state.outcome(frame_id, wait_s)
        if outcome.json is None:
            raise Problem(404, "dead_letter", f"the frame cannot be labelled: {outcome.reason}")
        return outcome.json

    def _check_open(self) -> None:
        if self._intake.closing:
            raise Problem(503, "closing", "the gateway is being stopped", 5.0)
        if (refusal := self._pressure.refusal) is not None:  # which another thread changes
            raise replace(refusal)  # an exception of this request: raising one adds to its traceback

    def _target(self, key: Key, wanted: str | None) -> str | None:
        if wanted is None:
            return key.webhook
        if not key.may(keys.WEBHOOK):
            raise Problem(403, "forbidden", f"the key {key.name} lacks the scope {keys.WEBHOOK}")
        assert self._state.webhooks is not None
        return check_target(wanted, self._state.webhooks.policy)


def build_app(state: GatewayState, intake: Intake, pressure: Pressure) -> FastAPI:
    """The application; `/docs` needs no other host."""
    app = FastAPI(
        title="Sightline upload gateway",
        version="1",
        description="Upload pictures, get their labels. A key of `sightline gateway key add` goes into Authorization.",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    operations = Operations(state, intake, pressure)

    @app.post(
        "/v1/frames",
        status_code=202,
        summary="Upload one picture, or several",
        response_model=TakenFrames,
        responses=problem_answers(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
        openapi_extra={"requestBody": upload_body(), "parameters": upload_parameters(), "security": [{"key": []}]},
    )
    async def upload(request: Request) -> Response:
        """Answers 202 once Kafka has acknowledged every picture: a raw body, or the files of a multipart one."""
        # Parameters that FastAPI finds out by itself would cost a quarter of the whole upload.
        query = request.query_params if request.scope["query_string"] else {}
        done = await operations.upload(request, query.get("name", ""), query.get("captured_at"), query.get("webhook"))
        return Response(done.body, done.status, NO_STORE, JSON)

    @app.get(
        "/v1/labels/{frame_id:path}",
        summary="The label of an upload",
        responses=problem_answers(401, 403, 404, 422, 429),
        openapi_extra={"security": [{"key": []}]},
    )
    async def label(
        request: Request,
        frame_id: Annotated[str, Path(max_length=200)],
        wait: Annotated[float, Query(ge=0, le=300, description="seconds to wait for the label")] = 0.0,
    ) -> Response:
        """The label as `sightline subscribe` prints it. A key reads the labels of its own uploads."""
        return Response(await operations.label(request, frame_id, wait), 200, NO_STORE, JSON)

    # The same function once more, before FastAPI's own route of it, which documents it: nothing is injected here, and
    # FastAPI's way to find that out costs as much as reading the body.
    app.router.routes.insert(0, Route("/v1/frames", upload, methods=["POST"], include_in_schema=False))
    _add_problems(app)
    _add_schemas(app)
    add_docs(app)
    app.add_middleware(_Counted)
    return app


def _add_problems(app: FastAPI) -> None:
    def answer(problem: Problem) -> Response:
        return Response(problem.body(), problem.status, problem.headers, MEDIA_TYPE)

    async def on_problem(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer(error)

    async def on_http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).name.lower()
        return answer(Problem(error.status_code, code, str(error.detail)))

    async def on_invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return answer(Problem(422, "bad_parameter", f"{first['loc'][-1]}: {first['msg']}"))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _add_schemas(app: FastAPI) -> None:
    """What FastAPI does not find out by itself: the body of problems, and how a key is sent."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        found = make()
        parts = found.setdefault("components", {})
        parts.setdefault("schemas", {})["ProblemBody"] = ProblemBody.model_json_schema()
        about = "A key of `sightline gateway key add`"
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": about}}
        # Given as a response of the operation it would lose the fields that are null.
        good = found["paths"]["/v1/labels/{frame_id}"]["get"]["responses"]["200"]
        good["content"] = {JSON: {"example": LABEL_EXAMPLE}}
        return found

    app.openapi = openapi  # type: ignore[method-assign]


class _Counted:
    """Counts answers by route and status."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"]
                route = "frames" if path == "/v1/frames" else "labels" if path.startswith("/v1/labels/") else "other"
                metrics.GATEWAY_ANSWERS.labels(route, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)


def _captured_at(text: str | None) -> Micros | None:
    try:
        return None if text is None else parse_time(text, now_us())
    except (ConfigError, OverflowError) as error:
        raise Problem(422, "bad_parameter", f"captured_at: {error}") from error


def _fingerprint(pictures: list[Picture], at: Micros | None, target: str | None) -> str:
    digest = hashlib.sha256(f"{at}\n{target}\n".encode())
    for picture in pictures:
        digest.update(f"{len(picture.data)}\n".encode() + picture.data)
    return digest.hexdigest()
