"""Text in front of items, written by the tree engine: what the model would write, and only allowed items behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList

from agentrec.core.errors import ConfigError, UnknownNameError
from agentrec.decoding.grammar import ItemGrammar, Outline
from agentrec.decoding.hf import ConstrainedLogitsProcessor
from agentrec.serving.engines.protocol import BeamRequest, TextRequest
from agentrec.serving.engines.tree import TreeEngine
from agentrec.serving.generative import GenerativeRecommender

MARKER = "<|im_start|>"


def with_engine(engine: TreeEngine, work: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        await engine.start()
        try:
            return await asyncio.wait_for(work(), 60)
        finally:
            await engine.close()

    return asyncio.run(run())


def prompt(recommender: GenerativeRecommender, words: str) -> tuple[int, ...]:
    return tuple(recommender.tokenizer.encode(words))


def test_greedy_outputs_are_those_of_hugging_face_under_the_same_outline(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    engine.sets.put("few", list(range(0, 200, 7)))
    tokenizer, model = recommender.tokenizer, recommender.model
    marker = tokenizer.convert_tokens_to_ids(MARKER)
    ids = [torch.from_numpy(part) for part in recommender.vocabulary.token_ids(tokenizer)]
    asked = [
        TextRequest(prompt(recommender, words), length, constraint=constraint, marker=MARKER, num_items=items)
        for words, length, constraint, items in [
            ("tents and boots", 5, "few", 3),
            ("coffee", 9, "", 1),
            ("a tiny corpus of words", 1, "few", 2),
        ]
    ]
    found = with_engine(engine, lambda: asyncio.gather(*map(engine.generate, asked)))
    for request, result in zip(asked, found, strict=True):
        allowed = engine.sets.get(request.constraint or "all")
        grammar = ItemGrammar(allowed, ids, tokenizer.eos_token_id, items_per_output=request.num_items, unique=True)
        outline = Outline(grammar, marker, request.max_tokens)
        written = model.generate(
            torch.tensor([request.prompt]),
            attention_mask=torch.ones(1, len(request.prompt), dtype=torch.long),
            logits_processor=LogitsProcessorList([ConstrainedLogitsProcessor(outline)]),
            do_sample=False,
            max_new_tokens=40,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )[0, len(request.prompt) :].tolist()
        at = written.index(marker)
        assert result.text == tokenizer.decode(written[:at])
        assert list(result.items) == recommender.vocabulary.parse(tokenizer.decode(written[at:]))
        assert len(set(result.items)) == request.num_items
        assert set(result.items) <= set(allowed.items().tolist())


def test_free_text_is_untouched_and_items_may_begin_at_once(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    free = TextRequest(prompt(recommender, "boots"), 6)
    at_once = TextRequest(prompt(recommender, "boots"), 6, constraint="all", num_items=4)
    text, items = with_engine(engine, lambda: asyncio.gather(engine.generate(free), engine.generate(at_once)))
    ids = torch.tensor([free.prompt])
    written = recommender.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6, pad_token_id=0
    )[0, ids.shape[1] :].tolist()
    assert text.text == recommender.tokenizer.decode([t for t in written if t != recommender.tokenizer.eos_token_id])
    assert text.items == ()
    assert items.text == ""
    assert len(set(items.items)) == 4


def test_a_seed_decides_what_is_drawn_whoever_shares_the_batch(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)

    def ask(seed: int, temperature: float = 1.0) -> TextRequest:
        words = prompt(recommender, "boots and tents")
        return TextRequest(words, 8, temperature, marker=MARKER, num_items=2, seed=seed)

    async def work() -> Any:
        together = await asyncio.gather(*(engine.generate(ask(seed)) for seed in (1, 2, 3, 1)))
        return together, await engine.generate(ask(1))

    together, alone = with_engine(engine, work)
    assert together[0] == together[3] == alone
    assert len({result.text for result in together}) > 1


def test_texts_and_beams_go_on_side_by_side(recommender: GenerativeRecommender) -> None:
    engine = TreeEngine(recommender)
    asked = prompt(recommender, "tents")

    async def work() -> None:
        long = asyncio.create_task(engine.generate(TextRequest(asked, 150, marker=MARKER, seed=1, temperature=1.0)))
        gone = asyncio.create_task(engine.generate(TextRequest(asked, 150, marker=MARKER)))
        await asyncio.sleep(0.01)
        gone.cancel()
        for _ in range(3):
            assert len((await engine.beam(BeamRequest(asked, 5, 5))).items) == 5
            assert not long.done()
        assert len((await long).items) == 1

    with_engine(engine, work)
    assert engine.stats()["running"] == 0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"marker": "no such token"}, ConfigError, "text of one token"),
        ({"constraint": "nobody"}, UnknownNameError, "those that exist are all"),
        ({"marker": MARKER, "num_items": 500}, ConfigError, "num_items is 500"),
        ({"max_tokens": 10**6}, ConfigError, "shorter history"),
    ],
)
def test_what_cannot_be_written_is_refused(
    recommender: GenerativeRecommender, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    engine = TreeEngine(recommender)
    with pytest.raises(error, match=words):
        with_engine(engine, lambda: engine.generate(TextRequest(**{"prompt": (1, 2), "max_tokens": 5, **change})))
