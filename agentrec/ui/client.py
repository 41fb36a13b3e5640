"""The service's API as the page asks it, over a socket or inside the same process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from agentrec.core.errors import AgentrecError

SECONDS = 60.0


class AnswerError(AgentrecError):
    """The service refused, in its own words, or cannot be reached."""


class ServiceClient:
    """Asks a service.

    Args:
        base_url: of the service.
        key: its API key; none by default.
        app: the service's application, where it runs in this process; then nothing goes over a socket.
    """

    def __init__(self, base_url: str, *, key: str = "", app: Any = None) -> None:
        transport = None if app is None else httpx.ASGITransport(app=app)
        headers = [(b"Authorization", b"Bearer " + key.encode())] if key else []
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, transport=transport, timeout=SECONDS, trust_env=False
        )

    async def recommend(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """``POST /v1/recommendations``."""
        return await self._ask("POST", "/v1/recommendations", json=asked)

    async def search(self, words: str, limit: int = 20) -> list[dict[str, Any]]:
        """Items by words: mappings with ``id``, ``title`` and ``sid``."""
        found = await self._ask("GET", "/v1/items/search", params={"q": words, "limit": limit})
        items: list[dict[str, Any]] = found["items"]
        return items

    async def sets(self) -> dict[str, int]:
        """Name -> size of every constraint set."""
        found = await self._ask("GET", "/v1/constraints")
        return {row["name"]: row["items"] for row in found["sets"]}

    async def put_set(self, name: str, content: Mapping[str, Any]) -> int:
        """Create or replace a constraint set; how many items it has."""
        found = await self._ask("PUT", f"/v1/constraints/{quote(name, safe='')}", json=content)
        return int(found["items"])

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, **more)
            body: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise AnswerError(
                f"the service at {self._http.base_url} gave no answer ({type(error).__name__}); expected a running "
                "`agentrec serve`, so start it or correct the address"
            ) from error
        if answer.is_error:
            raise AnswerError(str(body.get("error", f"the service answered {answer.status_code}")))
        return body
