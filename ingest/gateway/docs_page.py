"""`/docs`: the interface for people, made from the OpenAPI document. The page asks no host for anything."""

import json
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{padding:.8rem;overflow:auto;border:1px solid #8886;border-radius:6px}
h2{margin-top:2.5rem;border-top:1px solid #8886;padding-top:1rem}td,th{text-align:left;vertical-align:top;padding:.2rem
1rem .2rem 0}.method{font-weight:700}
"""
CURL = {
    "/v1/frames": "curl -H 'Authorization: Bearer slk_...' --data-binary @cat.jpg '{base}/v1/frames?name=cat.jpg'\n"
    "curl -H 'Authorization: Bearer slk_...' -F file=@cat.jpg -F file=@dog.jpg {base}/v1/frames",
    "/v1/labels/{frame_id}": "curl -H 'Authorization: Bearer slk_...' "
    "'{base}/v1/labels/shop.3/1795700000000/41?wait=10'",
}


def add_docs(app: FastAPI) -> None:
    """`/docs`, and `/` which leads there."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers=HEADERS)

    @app.get("/", include_in_schema=False)
    async def top() -> Response:
        return Response(status_code=307, headers={"location": "/docs"})


def docs_page(document: dict[str, Any], base: str = "http://127.0.0.1:8080") -> str:
    """The page of an OpenAPI document."""
    parts = [
        f"<h2><span class=method>{method.upper()}</span> <code>{escape(path)}</code></h2>"
        + _operation(found, path, base)
        for path, methods in document["paths"].items()
        for method, found in methods.items()
    ]
    title, about = (escape(document["info"][name]) for name in ("title", "description"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>{about} "
        'The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>'
        f"{''.join(parts)}</body></html>"
    )


def _operation(found: dict[str, Any], path: str, base: str) -> str:
    rows = [
        (f"<code>{escape(one['name'])}</code> ({one['in']})", escape(one.get("description", "")))
        for one in found.get("parameters", [])
    ]
    answers = [(f"<code>{status}</code>", escape(one["description"])) for status, one in found["responses"].items()]
    example = found["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("example")
    shown = f"<h3>A label</h3><pre>{escape(json.dumps(example, indent=2))}</pre>" if example else ""
    call = CURL.get(path.replace(":path", ""), "").replace("{base}", base)
    return (
        f"<p>{escape(found.get('description', ''))}</p><pre>{escape(call)}</pre>"
        f"<h3>Parameters</h3>{_table(rows)}<h3>Answers</h3>{_table(answers)}{shown}"
    )


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in rows) + "</table>"
