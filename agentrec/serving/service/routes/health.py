"""``/health``, ``/ready`` and ``/metrics``: for whoever watches the process."""

from __future__ import annotations

from fastapi import APIRouter, Response

from agentrec.serving.engines.protocol import EngineDeadError
from agentrec.serving.service.failures import failures
from agentrec.serving.service.metrics import CONTENT_TYPE
from agentrec.serving.service.schemas import Health
from agentrec.serving.service.service import Parts

router = APIRouter(tags=["state"])


@router.get("/health")
async def health(service: Parts) -> Health:
    """Whether the process answers; 200 even while the engine is started again."""
    return Health(status=service.supervisor.state, engine=service.supervisor.engine.name)


@router.get("/ready", responses=failures(503))
async def ready(service: Parts) -> Health:
    """Whether requests are answered now."""
    if service.draining.is_set():
        raise EngineDeadError("the service is being shut down; ask elsewhere")
    if service.supervisor.state != "ready":
        raise service.supervisor.dead()
    return Health(status="ready", engine=service.supervisor.engine.name)


@router.get("/metrics", response_class=Response, responses={**failures(401), 200: {"content": {"text/plain": {}}}})
async def metrics(service: Parts) -> Response:
    """Figures in the text format of Prometheus."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)
