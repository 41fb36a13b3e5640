"""``/v1/constraints``: named sets of items, created, replaced and removed while requests run.

A swap is written down where the service keeps its sets. It is acknowledged when every later request sees it, and no
answer made under the old set is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path

from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.service.failures import failures
from agentrec.serving.service.schemas import NAME, NamedSet, SetContent, SetList, SetSize
from agentrec.serving.service.service import Parts, Service

router = APIRouter(tags=["constraints"])

Name = Annotated[
    str,
    Path(min_length=1, max_length=100, description="Letters, digits and `_ . : = /`.", json_schema_extra=NAME),
]
Answer = TypeVar("Answer")
DELIVERY = 5.0  # seconds that older answers may take to be delivered


@router.get("/v1/constraints", responses=failures(401))
async def list_sets(service: Parts) -> SetList:
    """All sets and how many items they hold; `all` is the whole catalogue and stays."""
    return SetList(sets=[SetSize(name=name, items=items) for name, items in service.sets.sizes().items()])


@router.post("/v1/constraints", responses=failures(401, 404, 409, 413, 422, 503, 507))
async def post_set(content: NamedSet, service: Parts) -> SetSize:
    """Create a set, or replace it."""
    return await _swap(content.name, content, service)


@router.put("/v1/constraints/{name:path}", responses=failures(401, 404, 409, 413, 422, 503, 507))
async def put_set(name: Name, content: SetContent, service: Parts) -> SetSize:
    """Create a set, or replace it."""
    return await _swap(name, content, service)


@router.delete("/v1/constraints/{name:path}", status_code=204, responses=failures(401, 404, 422, 503, 507))
async def remove_set(name: Name, service: Parts) -> None:
    """Remove a set; requests under way that are held to it are answered by 404."""
    await _changed(service, lambda sets: sets.remove(name))


async def _swap(name: str, content: SetContent, service: Service) -> SetSize:
    def put(sets: ConstraintSets) -> int:
        chosen: Any
        if content.column:
            chosen = service.shelf.having(content.column, content.values)
        elif content.expression:
            chosen = sets.get(content.expression)
        else:
            chosen = service.shelf.items(content.items)
        return sets.put(name, chosen, may_be_empty=content.may_be_empty)

    return SetSize(name=name, items=await _changed(service, put))


async def _changed(service: Service, change: Callable[[ConstraintSets], Answer]) -> Answer:
    """Change the sets, and return when that may be acknowledged; in a thread, because it takes milliseconds."""
    answer = await asyncio.to_thread(service.keeper.change, service.sets, change)
    service.metrics.swaps.inc()
    await service.swaps.settle(DELIVERY)
    return answer
