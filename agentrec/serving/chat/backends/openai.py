"""Any server with OpenAI's chat API: vLLM, llama.cpp, Ollama, or a hosted one.

The key comes from an environment variable and is sent as a bearer token; no key is fine for servers that want none.
The time limit counts for the whole answer, also where a server sends it byte by byte.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

from agentrec.core.errors import ConfigError, require
from agentrec.prompts.files import prompt
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.private import redact
from agentrec.serving.chat.protocol import Answerer, BackendError, ChatRequest, Reply

require("httpx", "agents")

import httpx  # noqa: E402 - only after the sentence that says how to install it

LARGEST = 16_000_000  # bytes of one answer
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
RENAMED = frozenset({"api.openai.com"})  # calls max_tokens max_completion_tokens


class OpenAIBackend:
    """Posts to ``<base_url>/chat/completions``.

    Args:
        config: address, model, and how the shape of an answer is told.
        key: sent as a bearer token, unless empty.

    Raises:
        ConfigError: the address is none, or holds a password or a query.
    """

    name: ClassVar[str] = "openai"

    def __init__(self, config: ChatConfig, key: str = "") -> None:
        address = urlsplit(config.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(
                f"base_url is {redact(config.base_url)!r}; expected an address such as http://127.0.0.1:8000/v1"
            )
        if address.query or address.username or address.password:
            raise ConfigError(
                "base_url holds a password or a query; expected the address alone, so put the key into the environment "
                f"variable {config.key_variable}"
            )
        self.config = config
        self._named = config.model
        self._limit = "max_completion_tokens" if address.hostname in RENAMED else "max_tokens"
        self._lock = threading.Lock()
        self._client = httpx.Client(
            base_url=config.base_url.rstrip("/") + "/",
            headers={"authorization": f"Bearer {key}"} if key else {},
            trust_env=address.hostname not in LOOPBACK,
        )

    @classmethod
    def open(cls, config: ChatConfig, policy: Answerer | None) -> OpenAIBackend:
        """From settings; the key from the environment."""
        return cls(config, os.environ.get(config.key_variable, ""))

    @property
    def model(self) -> str:
        """As it was set, or the only one that the server has, once it was asked."""
        return self._named

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """Answer within so many seconds.

        Raises:
            BackendError: no server, no time, a refusal, or an answer that is none.
        """
        with self._lock:
            self._named = self._named or self._only_model(timeout)
        return _read(self._send("POST", "chat/completions", timeout, self._body(request)))

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body: dict[str, Any] = {"model": self._named, "temperature": request.temperature}
        body[self._limit] = request.max_tokens
        if request.seed is not None:
            body["seed"] = request.seed
        if request.schema is not None and self.config.structured == "json_schema":
            name = request.step.replace("/", "_")
            shape = {"name": name, "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif request.schema is not None:
            asked = prompt("chat/shape").render(schema=json.dumps(request.schema))
            messages.append({"role": "user", "content": asked})
            if self.config.structured == "json_object":
                body["response_format"] = {"type": "json_object"}
        return body | {"messages": messages}

    def _only_model(self, timeout: float) -> str:
        listed = self._send("GET", "models", timeout)
        names = [str(part.get("id")) for part in listed.get("data", []) if isinstance(part, dict)]
        if len(names) != 1:
            raise BackendError(
                f"the server offers {len(names)} models ({', '.join(names[:5]) or 'none'}) and none is chosen; "
                "expected one, so set model"
            )
        return names[0]

    def _send(self, method: str, path: str, timeout: float, body: Any = None) -> dict[str, Any]:
        """The JSON object that the server answers with."""
        began, where = time.monotonic(), redact(self.config.base_url)
        try:
            with self._client.stream(method, path, json=body, timeout=timeout) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if time.monotonic() - began > timeout:
                        raise httpx.ReadTimeout("the answer came too slowly")
                    if size > LARGEST:
                        raise BackendError(f"{where} sent more than {LARGEST} bytes; expected an answer", worked=True)
                status, wait = answer.status_code, _seconds(answer.headers.get("retry-after", ""))
        except httpx.TimeoutException as error:
            sent = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise BackendError(
                f"{where} gave no answer within {timeout:g} seconds; raise timeout or use a faster model",
                passing=True,
                worked=sent,
            ) from error
        except httpx.HTTPError as error:
            raise BackendError(
                f"{where} cannot be reached ({type(error).__name__}); check base_url and that the server runs",
                passing=True,
                worked=isinstance(error, httpx.ReadError | httpx.RemoteProtocolError),
            ) from error
        return _checked(b"".join(parts), status, wait, where)


def _checked(content: bytes, status: int, wait: float | None, where: str) -> dict[str, Any]:
    if status != 200:
        said = redact(" ".join(content[:400].decode(errors="replace").split()))
        remedy = "check the key" if status in (401, 403) else "check model, base_url and structured"
        raise BackendError(
            f"{where} answered {status} ({said or 'nothing'}); expected 200, so {remedy}",
            passing=status in PASSING,
            wait=wait,
        )
    try:
        found = json.loads(content)
    except ValueError as error:
        raise BackendError(f"{where} answered with no JSON; check base_url", worked=True) from error
    if not isinstance(found, dict):
        raise BackendError(f"{where} answered with JSON of another kind than an object; check base_url", worked=True)
    return found


def _read(found: dict[str, Any]) -> Reply:
    """The text and its counts."""
    try:
        choice = found["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise BackendError("the server's answer has no choices with a message; check base_url", worked=True) from error
    if not isinstance(text, str):
        refusal = redact(str(choice["message"].get("refusal") or "no text"))[:200]
        raise BackendError(f"the model gave no text ({refusal}); ask differently or use another model", worked=True)
    usage = found.get("usage") or {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    read, written = (count if isinstance(count, int) and count >= 0 else None for count in counts)
    return Reply(text, read, written, str(choice.get("finish_reason") or "stop"))


def _seconds(text: str) -> float | None:
    """``Retry-After`` in seconds; dates are not read."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return None


METHOD = OpenAIBackend
