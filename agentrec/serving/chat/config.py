"""Settings of a chat model: which, how patiently, and for how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentrec.core.config import setting
from agentrec.core.errors import ConfigError

MILLION = 1_000_000


@dataclass(frozen=True)
class ChatConfig:
    """One chat model; keys come from the environment and never stand here."""

    backend: str = setting("policy", "who answers: policy (computed, no model), openai, hf or replay")
    model: str = setting("", "model of the server (its only one by default), or folder or hub name for hf")
    base_url: str = setting("", "address of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    key_variable: str = setting("OPENAI_API_KEY", "environment variable that holds the server's key")
    structured: Literal["json_schema", "json_object", "none"] = setting(
        "json_schema", "how the server is told the shape of an answer"
    )
    replay: str | None = setting(None, "file of recorded answers, for the backend replay")
    record: str | None = setting(None, "write every answer to this file, for a later replay")
    temperature: float = setting(0.0, "0 takes the likeliest token each time")
    answer_tokens: int = setting(1024, "length of an answer at most")
    timeout: float = setting(60.0, "seconds for one answer")
    retries: int = setting(3, "how often a question is sent again after a passing failure")
    repairs: int = setting(2, "how often an answer of the wrong shape is sent back")
    token_budget: int | None = setting(None, "tokens of the whole run; no question is sent that might pass them")
    money_budget: float | None = setting(None, "money of the whole run; needs both prices")
    price_prompt: float | None = setting(None, "money per million tokens read")
    price_answer: float | None = setting(None, "money per million tokens written")

    def __post_init__(self) -> None:
        least = {"temperature": 0, "answer_tokens": 1, "retries": 0, "repairs": 0}
        optional = {"token_budget": 1, "money_budget": 0, "price_prompt": 0, "price_answer": 0}
        for name, low in (least | optional).items():
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise ConfigError(f"{name} is {value}; expected at least {low}")
        if not self.timeout > 0:
            raise ConfigError(f"timeout is {self.timeout}; expected seconds above 0")
        if self.money_budget is not None and None in (self.price_prompt, self.price_answer):
            raise ConfigError(
                "money_budget is set and a price is not; expected price_prompt and price_answer, per million tokens"
            )

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for so many tokens; 0 where no price is known."""
        prices = (self.price_prompt or 0.0, self.price_answer or 0.0)
        return (prompt_tokens * prices[0] + completion_tokens * prices[1]) / MILLION
