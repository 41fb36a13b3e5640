"""``POST /v1/recommendations``: a history or a user goes in, items come out."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Request

from agentrec.serving.service.failures import failures
from agentrec.serving.service.leaving import while_there
from agentrec.serving.service.schemas import RecommendationRequest, RecommendationResponse
from agentrec.serving.service.service import Parts
from agentrec.serving.service.swaps import OneAnswer

router = APIRouter(tags=["recommendations"])


@router.post("/v1/recommendations", responses=failures(401, 404, 409, 413, 422, 429, 503, 504))
async def recommend(
    asked: Annotated[RecommendationRequest, Body()], request: Request, service: Parts
) -> RecommendationResponse:
    """Recommend items for a history or a known user.

    Only items of the constraint come back, whatever the model prefers. A set that is swapped while the request runs
    counts as it is when the answer is written.
    """
    with service.gate.entered():
        try:
            async with asyncio.timeout(service.config.deadline):
                work = service.recommending.answer(asked, OneAnswer(service.swaps, request.scope))
                found, left_out = await while_there(request, work)
        except TimeoutError as error:
            raise service.too_late() from error
    service.metrics.items.inc(len(found.items))
    service.metrics.left_out.inc(left_out)
    return found
