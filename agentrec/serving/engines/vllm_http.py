"""vLLM behind an OpenAI-compatible server, on this machine or another.

Text goes through ``/v1/completions`` with ``vllm_xargs``, which the server's `ItemsProcessor` holds to the set; the
named sets are written to a folder that it reads. Beams ask the same endpoint for the log-probabilities of the tokens
that may come next, all beams of a level in one call (two or more where a level has over 128 such tokens), and are
chosen here. The server's own ``use_beam_search`` would drop the constraint silently.

What it does not know: other clients of the server that ask for ``logprobs`` while beams run. vLLM 0.32 mixes the two
up in one step, to the cost of those clients, so let them have a server of their own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agentrec.core.config import setting
from agentrec.core.errors import AgentrecError, ConfigError, require
from agentrec.decoding.children.candidates import DEAD
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.serving.engines.local_sets import sets_of_folder
from agentrec.serving.engines.parse import text_result
from agentrec.serving.engines.plan import Limits, TextPlan, nothing_left, plan_beam, plan_text
from agentrec.serving.engines.protocol import (
    BeamRequest,
    BeamResult,
    EngineBusyError,
    EngineDeadError,
    TextRequest,
    TextResult,
)
from agentrec.serving.engines.waiting import UnderWay
from agentrec.serving.engines.walk import Walk, walked

MOST_TOKENS = 128  # vLLM's bound of logprob_token_ids
PREFIX = "token_id:"  # how vLLM names tokens by their ids


@dataclass(frozen=True)
class HttpConfig:
    """Where the server is, and how long to wait for it."""

    url: str = setting("http://127.0.0.1:8000", "The server, without /v1.")
    key: str = setting("", "API key, if the server asks for one.")
    start_timeout: float = setting(300.0, "Seconds until the server must be ready.")
    timeout: float = setting(120.0, "Seconds until an answer must be there.")
    max_waiting: int = setting(256, "Requests under way; further ones are told to come back.")
    max_beams: int = setting(512, "The widest beam that may be asked for.")


class HttpEngine:
    """Serves a generator's folder through a vLLM server that has it too.

    Args:
        folder: of the generator, for its tokens and items; its weights are not read.
        sets: named sets over an index of its items on the host; only ``all`` by default.
        sets_folder: the server's ``AGENTREC_SETS``, where the sets are written before text asks for one of them.
        config: where the server is.
    """

    def __init__(
        self,
        folder: str | Path,
        sets: ConstraintSets | None = None,
        *,
        sets_folder: str | Path | None = None,
        config: HttpConfig | None = None,
    ) -> None:
        require("httpx", "serve")
        self.name = "vllm-http"
        self.config = config or HttpConfig()
        self.sets, self._layout, self._tokenizer = sets_of_folder(folder, sets)
        self._folder = None if sets_folder is None else Path(sets_folder)
        self._saved: object = None
        self._saving = asyncio.Lock()
        self._client: Any = None
        self._model = ""
        self._limits: Limits | None = None
        self._under_way = UnderWay(self.config.max_waiting)
        self._alive = False

    @property
    def upstream(self) -> Any:
        """The HTTP client of the server, for a service that passes chats through; None before the start."""
        return self._client

    async def start(self) -> None:
        """See `Engine`; waits until the server is ready."""
        import httpx

        if self._client is not None:
            return
        headers = {"Authorization": f"Bearer {self.config.key}"} if self.config.key else {}
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(
            base_url=self.config.url, headers=headers, timeout=self.config.timeout, limits=limits
        )
        end = time.monotonic() + self.config.start_timeout
        while True:
            try:
                found = await self._client.get("/v1/models")
                found.raise_for_status()
                break
            except httpx.HTTPError as error:
                if time.monotonic() > end:
                    raise EngineDeadError(
                        f"the server at {self.config.url} is not ready after {self.config.start_timeout:g} s, and says "
                        f"{error}; start it, or correct its address"
                    ) from error
                await asyncio.sleep(0.3)
        model = found.json()["data"][0]
        self._model, self._alive = model["id"], True
        size = len(self._tokenizer)
        self._limits = Limits(size, model["max_model_len"], self._layout.num_levels, self.config.max_beams)

    async def beam(self, request: BeamRequest) -> BeamResult:
        """See `Engine`."""
        self._admit(request)
        with self._under_way.one():
            plan = plan_beam(request, self.sets)
            if plan.constraint is None:
                return nothing_left(plan)
            result = await walked(Walk(plan, self._layout), self._step_on)
        self._under_way.answered(result)
        return result

    async def _step_on(self, walk: Walk) -> None:
        walk.take(await self._logprobs(walk))

    async def _logprobs(self, walk: Walk) -> torch.Tensor:
        """Log-probabilities behind every beam: (M, K), ``-inf`` for codes that no beam may have."""
        columns, codes = self._layout.token_ids[walk.level], walk.codes()
        found = torch.full((len(walk.prompts), len(columns)), DEAD)
        parts = [codes[start : start + MOST_TOKENS] for start in range(0, len(codes), MOST_TOKENS)]
        answers = await asyncio.gather(*(self._score(walk.prompts, columns[part].tolist()) for part in parts))
        for part, lines in zip(parts, answers, strict=True):
            found[:, torch.from_numpy(part)] = torch.tensor(lines)
        return found

    async def _score(self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of tokens behind prompts: one list per prompt."""
        answer = await self._post(
            {
                "prompt": [list(prompt) for prompt in prompts],
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": 1,
                "logprob_token_ids": list(tokens),
                "return_tokens_as_token_ids": True,
            }
        )
        names = [f"{PREFIX}{token}" for token in tokens]
        lines = [
            choice["logprobs"]["top_logprobs"][0] for choice in sorted(answer["choices"], key=lambda c: c["index"])
        ]
        return [[line[name] for name in names] for line in lines]

    async def generate(self, request: TextRequest) -> TextResult:
        """See `Engine`.

        Raises:
            ConfigError: it asks for a named set, and no ``sets_folder`` was given.
        """
        self._admit(request)
        with self._under_way.one():
            plan = plan_text(request, self.sets, self._tokenizer)
            if plan.job is not None:
                await self._save_sets(request.constraint)
            answer = await self._post(_text_body(plan))
        self._under_way.counts["prompt_tokens"] += len(request.prompt)
        return text_result(plan, answer["choices"][0]["token_ids"], self._layout, self._tokenizer)

    async def _save_sets(self, expression: str) -> None:
        """Let the server know the sets of now, if they changed."""
        if expression.strip() in ("", "all"):
            return
        if self._folder is None:
            raise ConfigError(
                f"text is to be held to {expression!r}, and the server's folder of sets is not known; give it as "
                "sets_folder and as AGENTREC_SETS of the server"
            )
        async with self._saving:
            moment = self.sets.moment
            if moment is not self._saved:
                await asyncio.to_thread(self.sets.save, self._folder)
                self._saved = moment

    def _admit(self, request: BeamRequest | TextRequest) -> None:
        if self._client is None or self._limits is None or self._client.is_closed:
            raise EngineDeadError("the vllm-http engine is not running; expected it to be started and not yet closed")
        self._limits.check(request)

    async def _post(self, body: dict[str, Any]) -> Any:
        """One call of the completions endpoint."""
        import httpx

        self._under_way.counts["batches"] += 1
        try:
            answer = await self._client.post("/v1/completions", json={"model": self._model, **body})
        except httpx.HTTPError as error:
            self._alive = False
            raise EngineDeadError(
                f"the server at {self.config.url} does not answer ({type(error).__name__}); start it again"
            ) from error
        self._alive = answer.status_code < 500
        if answer.status_code == 200:
            return answer.json()
        raise _refused(answer.status_code, answer.text)

    def stats(self) -> dict[str, float]:
        """See `Engine`; what waits, waits in the server, whose own ``/metrics`` say more."""
        return {
            **self._under_way.counts,
            "waiting": 0,
            "running": self._under_way.now,
            "beam_rows": 0,
            "alive": float(self._alive),
        }

    async def close(self) -> None:
        """See `Engine`; the server goes on."""
        while self._under_way.now:
            await asyncio.sleep(0.02)
        if self._client is not None:
            await self._client.aclose()
        self._alive = False


def _text_body(plan: TextPlan) -> dict[str, Any]:
    """What the completions endpoint is asked."""
    request = plan.request
    body: dict[str, Any] = {
        "prompt": list(request.prompt),
        "max_tokens": plan.room,
        "temperature": request.temperature,
        "seed": request.seed,
        "return_token_ids": True,
    }
    if plan.job is not None:
        words = {"constraint": request.constraint or "all", "num_items": request.num_items}
        text = {"marker": request.marker, "max_text": request.max_tokens} if request.marker else {}
        body["vllm_xargs"] = {**words, **text}
    return body


def _refused(status: int, text: str) -> AgentrecError:
    """The server's refusal as one of our errors."""
    import json

    try:
        said = json.loads(text)
        sentence = said.get("error", said).get("message", text) if isinstance(said, dict) else text
    except (ValueError, AttributeError):
        sentence = text
    sentence = " ".join(str(sentence).split())[:300]
    if status in (429, 503):
        return EngineBusyError(f"the server is busy: {sentence}")
    if status >= 500:
        return EngineDeadError(f"the server failed with status {status}: {sentence}")
    return ConfigError(f"the server refused the request with status {status}: {sentence}")


def server_command(
    folder: str | Path, *, port: int = 8000, sets_folder: str | Path | None = None, more: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """How to start a server that `HttpEngine` can use: the command, and what its environment must say.

    Args:
        folder: of the generator.
        port: on the loopback address.
        sets_folder: where `HttpEngine` writes named sets.
        more: further arguments of vLLM's server, such as ``("--tensor-parallel-size", "4")``.
    """
    from agentrec.serving.engines.processor import FOLLOWED, GENERATOR, SETS
    from agentrec.serving.engines.vllm_local import safely

    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--host", "127.0.0.1"]
    whole = ["--no-enable-chunked-prefill"] if safely() else []
    command = [sys.executable, *words, "--port", str(port), "--logits-processors", FOLLOWED, *whole, *more]
    return command, {GENERATOR: str(folder), SETS: "" if sets_folder is None else str(sets_folder)}
