"""``/openapi.json`` with the limits of this very service, and ``/docs``: a page that asks nothing of anybody else.

The page that FastAPI brings loads its scripts from another site; this one is plain HTML, made from the same schema.
"""

from __future__ import annotations

import html
import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agentrec.serving.service.service import Service

LIMITS = ("default", "const", "minimum", "maximum", "maxItems", "maxLength")
METHODS = ("get", "post", "put", "delete")
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: 6px; }
h2 { margin-top: 2.5rem; overflow-wrap: anywhere; } h2 b { text-transform: uppercase; margin-right: .5rem; }
table { border-collapse: collapse; width: 100%; } td { border-top: 1px solid #8886; padding: .3rem .6rem .3rem 0; }
td { vertical-align: top; }
"""
EXAMPLES = {
    ("/v1/recommendations", "post"): {"history": ["<item id>", "<item id>"], "n": 5},
    ("/v1/constraints", "post"): {"name": "in_stock", "items": ["<item id>"]},
    ("/v1/constraints/{name}", "put"): {"items": ["<item id>"]},
    ("/v1/chat/completions", "post"): {"model": "<name>", "messages": [{"role": "user", "content": "Hello"}]},
}


def add_pages(app: FastAPI, service: Service) -> None:
    """Add the schema's limits, the page, and a way to it from ``/``."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = limited(made, service)
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(schema()))

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)  # browsers ask for one whatever a page says

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")


def limited(schema: dict[str, Any], service: Service) -> dict[str, Any]:
    """The schema with the limits that the settings and the catalogue set."""
    config = service.config
    most = min(config.max_n, len(service.shelf.catalogue))
    parts = schema["components"]["schemas"]
    for name in ("DirectRequest", "ThinkRequest"):
        fields = parts[name]["properties"]
        fields["n"] |= {"maximum": most, "default": min(10, most)}
        fields["history"]["maxItems"] = config.max_history
    parts["DirectRequest"]["properties"]["num_beams"] |= {"type": "integer", "minimum": 1, "maximum": config.max_beams}
    text = parts["ThinkRequest"]["properties"]["max_tokens"]
    text |= {"maximum": config.max_text, "default": min(text["default"], config.max_text)}
    return schema


def page(schema: dict[str, Any]) -> str:
    """The schema as a page of HTML."""
    parts = schema["components"]["schemas"]
    blocks = [
        _operation(path, method, operations[method], parts)
        for path, operations in schema["paths"].items()
        for method in METHODS
        if method in operations
    ]
    title = html.escape(f"{schema['info']['title']} {schema['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>'
        f"<p>{html.escape(schema['info']['description'])} The schema: <a href='/openapi.json'>/openapi.json</a>.</p>"
        f"{''.join(blocks)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], parts: dict[str, Any]) -> str:
    told = html.escape(operation.get("description", operation.get("summary", "")))
    data = EXAMPLES.get((path, method))
    body = "" if data is None else f" -H 'content-type: application/json' -d '{json.dumps(data)}'"
    curl = html.escape(f"curl -X {method.upper()} http://<host>{path}{body}")
    statuses = ", ".join(operation["responses"])
    fields = "".join(_fields(name, parts[name]) for name in _named(operation.get("requestBody", {})))
    return (
        f"<h2><b>{method}</b><code>{html.escape(path)}</code></h2><p>{told}</p><pre>{curl}</pre>{fields}"
        f"<p>Answers: {html.escape(statuses)}.</p>"
    )


def _named(body: Any) -> list[str]:
    """The names of the schemas that a request body refers to."""
    if isinstance(body, dict):
        own = [str(body["$ref"]).rpartition("/")[2]] if "$ref" in body else []
        return own + [name for value in body.values() for name in _named(value)]
    return [name for value in body for name in _named(value)] if isinstance(body, list) else []


def _fields(name: str, part: dict[str, Any]) -> str:
    rows = []
    for field, about in part.get("properties", {}).items():
        kind = about.get("type") or " or ".join(option.get("type", "") for option in about.get("anyOf", []))
        limits = {key: about[key] for key in LIMITS if key in about}
        shown = ", ".join(f"{key} {json.dumps(value)}" for key, value in limits.items())
        cells = (f"<code>{html.escape(field)}</code>", html.escape(kind or ""), html.escape(shown))
        rows.append("".join(f"<td>{cell}</td>" for cell in (*cells, html.escape(about.get("description", "")))))
    return f"<h3>{html.escape(name)}</h3><table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
