"""``GET /v1/items/search``: items by words of their titles or by their ids."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from agentrec.serving.service.failures import failures
from agentrec.serving.service.schemas import FoundItem, FoundItems
from agentrec.serving.service.service import Parts

router = APIRouter(tags=["items"])


@router.get("/v1/items/search", responses=failures(401, 422))
async def search(
    service: Parts,
    q: Annotated[str, Query(min_length=1, max_length=200, description="Words that a title holds, or an id.")],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> FoundItems:
    """Find items, best first."""
    shelf = service.shelf
    found = service.search.find(q, limit)
    return FoundItems(
        items=[FoundItem(id=shelf.catalogue.ids[item], title=shelf.titles[item], sid=shelf.sid(item)) for item in found]
    )
