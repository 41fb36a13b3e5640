"""``agentrec ui``: the page alone, for a service that runs elsewhere."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def ui(
    service: Annotated[str, typer.Option(help="Address of a running `agentrec serve`.")] = "http://127.0.0.1:8000",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 7860,
) -> None:
    """Open a page in the browser to try a running service: recommendations, constraint sets, modes.

    `agentrec serve` mounts the same page at /ui; this serves it from another place. The service's API key comes from
    the environment variable AGENTREC_API_KEY. Whoever reaches the page asks with that key, so keep it to this machine.

    Examples:

        agentrec ui

        agentrec ui --service http://10.0.0.5:8000 --port 7861
    """
    from agentrec.core.errors import require

    for library in ("gradio", "uvicorn"):
        require(library, "ui")
    import uvicorn

    from agentrec.ui.mount import PATH, page_app

    app = page_app(service, key=os.environ.get("AGENTREC_API_KEY", ""))
    typer.echo(f"the page is at http://{host}:{port}{PATH}; stop it with Ctrl+C", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
