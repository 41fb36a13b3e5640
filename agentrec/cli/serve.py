"""``agentrec serve``: a trained generator answers over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from agentrec.data.dataset import Dataset
    from agentrec.serving.service.engines import Served, Server
    from agentrec.serving.service.keeping import Keeper
    from agentrec.serving.service.settings import ServiceConfig

LOG_LEVELS = ("debug", "info", "warning", "error")


def serve(  # noqa: PLR0913, PLR0917 - one parameter per option; typer passes them by name
    model: Annotated[Path, typer.Option(help="Folder of a trained generator.")],
    data: Annotated[str, typer.Option(help="The data set it was trained on.")],
    items: Annotated[str | None, typer.Option(help="Items table, if the data set holds none.")] = None,
    sets: Annotated[Path | None, typer.Option(help="Folder of constraint sets to begin with; it may be empty.")] = None,
    save_sets: Annotated[bool, typer.Option(help="Write sets that come over HTTP back to --sets.")] = True,
    engine: Annotated[str, typer.Option(help="tree (in process), vllm (in process) or vllm-http.")] = "tree",
    vllm_url: Annotated[str | None, typer.Option(help="The vLLM server of --engine vllm-http, without /v1.")] = None,
    vllm_sets: Annotated[Path | None, typer.Option(help="The folder that server reads as AGENTREC_SETS.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is reached from outside.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8000,
    num_beams: Annotated[int | None, typer.Option(help="Beam width; the model's own by default.", min=1)] = None,
    max_requests: Annotated[int, typer.Option(help="Requests that run or wait at most.", min=1)] = 256,
    deadline: Annotated[float, typer.Option(help="Seconds until a request is answered by 504.")] = 30.0,
    drain: Annotated[float, typer.Option(help="Seconds that requests may take after SIGTERM.")] = 30.0,
    marker: Annotated[str, typer.Option(help="Token between what a model thinks and its items.")] = "</think>",
    page: Annotated[bool, typer.Option("--ui/--no-ui", help="Mount the page at /ui, where gradio is there.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve recommendations over HTTP: items, constraint sets, search, health, figures, and a page to try it.

    Sets that are put or deleted over HTTP are written to the folder of --sets before they are acknowledged, so that a
    restart begins with them; one service per folder. With --no-save-sets it stays as it is, and without --sets they end
    with the process.

    The API key, if you want one, comes from the environment variable AGENTREC_API_KEY. /docs shows the API. SIGTERM
    drains: what runs is answered, then the process ends with code 0. A vLLM server's own key is AGENTREC_VLLM_KEY.

    Examples:

        agentrec serve --model runs/generator --data runs/data

        agentrec serve --model runs/generator --data runs/data --sets runs/sets --port 9000 --no-ui

        agentrec serve --model runs/generator --data runs/data --engine vllm-http --vllm-url http://127.0.0.1:9001

        AGENTREC_API_KEY=secret agentrec serve --model runs/generator --data runs/data --host 0.0.0.0

        curl -X POST http://127.0.0.1:8000/v1/recommendations -H 'content-type: application/json'
        -d '{"user_id": "0", "n": 5}'
    """
    from dataclasses import replace

    _check(log_level)
    from agentrec.serving.service.settings import ServiceConfig

    limits: dict[str, Any] = {"max_requests": max_requests, "deadline": deadline, "drain": drain, "marker": marker}
    config = ServiceConfig(host=host, port=port, **limits)
    from agentrec.data.load import load_dataset
    from agentrec.serving.service.engines import served

    keeper = _keeper(sets if save_sets else None, vllm_sets)
    dataset = load_dataset(data, items=items)
    model_served = served(engine, model, dataset.catalogue, sets=sets, server=_server(vllm_url, vllm_sets))
    beams = num_beams or model_served.num_beams
    config = replace(config, num_beams=beams, max_beams=max(beams, config.max_beams))
    raise typer.Exit(_run(_app(model_served, dataset, config, keeper, page=page), config, log_level))


def _check(log_level: str) -> None:
    from agentrec.core.errors import ConfigError, require

    for library in ("fastapi", "uvicorn", "prometheus_client", "httpx"):
        require(library, "serve")
    if log_level not in LOG_LEVELS:
        raise ConfigError(f"log_level is {log_level!r}; expected {', '.join(LOG_LEVELS[:-1])} or {LOG_LEVELS[-1]}")


def _server(url: str | None, sets: Path | None) -> Server | None:
    """The vLLM server, if there is one."""
    from agentrec.serving.service.engines import Server

    if url is None:
        return None
    return Server(url.rstrip("/").removesuffix("/v1"), os.environ.get("AGENTREC_VLLM_KEY", ""), sets)


def _keeper(sets: Path | None, vllm_sets: Path | None) -> Keeper:
    """Who keeps the sets; before they are read, so that nobody else changes them meanwhile."""
    from agentrec.core.errors import ConfigError
    from agentrec.serving.service.keeping import Keeper

    if sets is not None and vllm_sets is not None and sets.resolve() == vllm_sets.resolve():
        raise ConfigError(
            f"--sets and --vllm-sets are both {sets}; expected two folders, because one keeps sets and the other "
            "shows them to the vLLM server, so choose another or say --no-save-sets"
        )
    return Keeper(sets)


def _app(model: Served, dataset: Dataset, config: ServiceConfig, keeper: Keeper, *, page: bool) -> FastAPI:
    """The application over a model and its data."""
    from agentrec.serving.service.app import build_app
    from agentrec.serving.service.settings import KEY_VARIABLE
    from agentrec.serving.service.shelf import Shelf

    shelf = Shelf(dataset.catalogue, model.vocabulary, model.form, dataset.user_ids, dataset.histories())
    key = os.environ.get(KEY_VARIABLE, "")
    return build_app(shelf, model.build, config, key=key, keeper=keeper, mounts=_mounts(key) if page else ())


def _mounts(key: str) -> tuple[Any, ...]:
    """The page, where its library is installed."""
    from importlib.util import find_spec

    if find_spec("gradio") is None:
        typer.echo("no page at /ui: gradio is not installed; install it with `pip install 'agentrec[ui]'`", err=True)
        return ()
    from functools import partial

    from agentrec.ui.mount import mount_page

    return (partial(mount_page, key=key),)


def _run(app: FastAPI, config: ServiceConfig, log_level: str) -> int:
    from agentrec.serving.service.server import run

    found = {getattr(route, "path", "") for route in app.routes}

    def say(url: str) -> None:
        pages = ", ".join(f"{url}{path}" for path in ("/docs", "/ui") if path in found)
        typer.echo(f"serving at {url} (pages: {pages}); stop it with Ctrl+C or SIGTERM", err=True)

    return run(app, config, say=say, log_level=log_level)
