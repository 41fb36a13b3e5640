"""A Hugging Face model in this process: a hub name, or a folder such as one of our own checkpoints.

Where xgrammar is installed (vLLM brings it), an answer with a schema can only be JSON of that schema; elsewhere the
schema stands in the prompt, and answers of another shape are sent back. One question at a time.
"""

from __future__ import annotations

import json
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from agentrec.core.errors import ConfigError, require
from agentrec.prompts.files import prompt
from agentrec.serving.chat.config import ChatConfig
from agentrec.serving.chat.protocol import Answerer, BackendError, ChatRequest, Message, Reply

if TYPE_CHECKING:
    import torch


class HFBackend:
    """Generates with ``transformers``.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer; without a chat template, turns are written below each other.
        name: what ledgers call the model.
    """

    name: ClassVar[str] = "hf"

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self._model, self._tokenizer = model, tokenizer
        self.model = name
        self._lock = threading.Lock()
        self._grammars: dict[str, Any] = {}

    @classmethod
    def open(cls, config: ChatConfig, policy: Answerer | None) -> HFBackend:
        """Load the model that the setting ``model`` names.

        Raises:
            ConfigError: it names none that can be loaded.
        """
        require("transformers", "train")
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not config.model:
            raise ConfigError("the backend is 'hf' and no model is named; expected a folder or a hub name in model")
        try:
            tokenizer = AutoTokenizer.from_pretrained(config.model)
            model = AutoModelForCausalLM.from_pretrained(config.model).eval()
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"model {config.model!r} cannot be loaded ({reason}); check the folder or name"
            ) from error
        return cls(model, tokenizer, config.model)

    def reply(self, request: ChatRequest, timeout: float) -> Reply:
        """Generate the answer within so many seconds.

        Raises:
            BackendError: the prompt leaves no room, or time ran out.
        """
        import torch

        grammar = request.schema is not None and find_spec("xgrammar") is not None
        given = self._tokens(request, told=not grammar)
        room = min(request.max_tokens, self._longest() - given.shape[1])
        if room < 1:
            raise BackendError(f"the prompt has {given.shape[1]} tokens; the model takes {self._longest()} at most")
        options: dict[str, Any] = {"max_new_tokens": room, "max_time": timeout, "do_sample": request.temperature > 0}
        if request.temperature > 0:
            options["temperature"] = request.temperature
        if grammar:
            options["logits_processor"] = [self._processor(request.schema)]
        began = time.monotonic()
        with torch.random.fork_rng(devices=[]), self._lock, torch.inference_mode():
            torch.manual_seed(request.seed or 0)
            made = self._model.generate(
                given, attention_mask=torch.ones_like(given), pad_token_id=self._end(), **options
            )
        written = made[0, given.shape[1] :]
        ended = int(written[-1]) == self._tokenizer.eos_token_id
        if not ended and len(written) < room and time.monotonic() - began >= timeout:
            raise BackendError(
                f"{self.model} wrote {len(written)} tokens in {timeout:g} seconds; raise timeout", worked=True
            )
        text = self._tokenizer.decode(written, skip_special_tokens=True)
        return Reply(text, given.shape[1], len(written), "stop" if ended else "length")

    def _tokens(self, request: ChatRequest, *, told: bool) -> torch.Tensor:
        """The conversation: (1, T) int64."""
        messages = list(request.messages)
        if request.schema is not None and told:
            messages.append(Message("user", prompt("chat/shape").render(schema=json.dumps(request.schema))))
        turns = [message._asdict() for message in messages]
        if self._tokenizer.chat_template:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        else:
            text = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns) + "\n\nassistant: "
        tokens: torch.Tensor = self._tokenizer(text, return_tensors="pt")["input_ids"]
        return tokens.to(self._model.device)

    def _processor(self, schema: Any) -> Any:
        """Holds one answer to a schema."""
        import xgrammar
        from xgrammar.contrib.hf import LogitsProcessor

        text = json.dumps(schema, sort_keys=True)
        with self._lock:
            if text not in self._grammars:
                size = self._model.config.vocab_size
                told = xgrammar.TokenizerInfo.from_huggingface(self._tokenizer, vocab_size=size)
                self._grammars[text] = xgrammar.GrammarCompiler(told).compile_json_schema(text, any_whitespace=False)
            return LogitsProcessor(self._grammars[text])

    def _longest(self) -> int:
        return int(getattr(self._model.config, "max_position_embeddings", None) or 1 << 20)

    def _end(self) -> int:
        found = self._tokenizer.pad_token_id
        return int(self._tokenizer.eos_token_id if found is None else found)


METHOD = HFBackend
