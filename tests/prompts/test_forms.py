"""The two data forms: one pass per user against one row per prefix, and labels that mask exactly the prompt."""

import numpy as np
import torch

from agentrec.core.types import Histories
from agentrec.prompts.forms import IGNORE, build_form, pad_left
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes, tiny_generator

VOCABULARY = SIDVocabulary(random_codes(30, (5, 5, 5)))
GENERATOR = tiny_generator(VOCABULARY)
TITLES = [f"title {item}" for item in range(VOCABULARY.num_items)]


def form(name: str, **settings: int):
    sids = [VOCABULARY.text(item) for item in range(VOCABULARY.num_items)]
    tokens = VOCABULARY.item_token_ids(GENERATOR.tokenizer)
    return build_form({"form": name, **settings}, GENERATOR.tokenizer, tokens, sids, TITLES)


def token_losses(input_ids: list[int], labels: list[int]) -> torch.Tensor:
    ids, targets = torch.tensor([input_ids]), torch.tensor(labels)
    with torch.inference_mode():
        logprobs = GENERATOR.model(ids).logits[0].log_softmax(-1)
    kept = targets[1:] != IGNORE
    return -logprobs[:-1][kept].gather(1, targets[1:][kept][:, None])[:, 0]


def test_one_pass_per_user_gives_the_losses_of_all_its_prefixes() -> None:
    """The sequence form is not an approximation: the same numbers as re-encoding every prefix."""
    sequence, history = form("sequence"), np.array([3, 1, 4, 1, 5])
    (row,) = sequence.examples(Histories.from_lists([history.tolist()]))
    whole = token_losses(row.input_ids, row.labels).reshape(5, 3)
    for target in range(5):
        prompt = sequence.prompt(history[:target])
        answer = sequence.item_tokens[history[target]].tolist()
        one = token_losses(prompt + answer, [IGNORE] * len(prompt) + answer)
        assert torch.allclose(one, whole[target], atol=1e-5)


def test_windows_lose_no_item() -> None:
    sequence = form("sequence", max_items=2)
    rows = sequence.examples(Histories.from_lists([[0, 1, 2, 3, 4], [7], [8, 9]]))
    bos = GENERATOR.tokenizer.bos_token_id
    read = sorted(tuple(row.input_ids[1:]) for row in rows)
    expected = [[3, 4], [1, 2], [0], [8, 9]]
    assert read == sorted(tuple(sequence.item_tokens[np.array(items)].ravel().tolist()) for items in expected)
    assert all(row.input_ids[0] == bos and row.labels == [IGNORE, *row.input_ids[1:]] for row in rows)
    assert len(sequence.prompt(np.arange(9))) == 1 + 2 * 3


def test_the_instruction_form_learns_the_answer_only() -> None:
    chat = form("instruction", max_items=3, targets_per_user=2)
    rows = chat.examples(Histories.from_lists([[0, 1, 2, 3, 4]]))
    assert len(rows) == 2
    tokenizer = GENERATOR.tokenizer
    for row, target in zip(rows, (3, 4), strict=True):
        learned = [label for label in row.labels if label != IGNORE]
        assert tokenizer.decode(learned) == VOCABULARY.text(target) + "<|im_end|>"
        prompt = tokenizer.decode(
            [token for token, label in zip(row.input_ids, row.labels, strict=True) if label == IGNORE]
        )
        assert prompt.endswith("<|im_start|>assistant\n")
        assert TITLES[target] not in prompt
        assert all(TITLES[item] in prompt and VOCABULARY.text(item) in prompt for item in range(target - 3, target))


def test_padding_is_on_the_left() -> None:
    ids, mask = pad_left([[5, 6], [7]], pad=0)
    assert ids.tolist() == [[5, 6], [0, 7]]
    assert mask.tolist() == [[1, 1], [0, 1]]
