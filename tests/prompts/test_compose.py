"""Prompts put together from pieces are the prompts tokenised whole, token by token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agentrec.core.errors import ConfigError, TrainingWarning
from agentrec.models.presets import CHAT_TEMPLATE, build_tokenizer
from agentrec.prompts.compose import Composer, Pieces, Ragged
from agentrec.prompts.files import Prompt
from agentrec.prompts.questions import Listing, Questions, Texts

WORDS = ["Red tent (2 persons).", "boots", "Coffee, 500g", "a  b", "x", "Ünïcode – dash", "7", "Kit #3: 10% more!"]
SIDS = [f"<a_{item % 3}><b_{item // 3}>" for item in range(len(WORDS))]
TOKENS = [f"<a_{code}>" for code in range(3)] + [f"<b_{code}>" for code in range(3)]
SPECIAL = ["<|im_start|>", "<|im_end|>"]
QWEN_SPLIT = (  # how Qwen 2 and 3 cut text before merging
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SYSTEM = Prompt.parse("sft/s", "---\nvariables: []\nversion: 1\n---\nBe brief.\n")
NUMBERED = (
    "Chosen:\n{% for item in history %}\n{{ loop.index }}. {{ item.title }} {{ item.sid }}\n{% endfor %}\n\nNext?"
)
BARE = "Chosen:\n{% for item in history %}\n- {{ item.title }}\n{% endfor %}\n\nNext?"
COMMAS = "{% for item in history %}{{ item.sid }}{% if not loop.last %}, {% endif %}{% endfor %} and then?"
LOUD = "{% for item in history %}{{ item.title | upper }} {{ item.sid }}\n{% endfor %}"


def bpe(split: pre_tokenizers.PreTokenizer) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = split, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [*WORDS, ".\n\nNext?", "Chosen:\n1.", ").\n"] * 20,
        trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    made.add_tokens([AddedToken(token, normalized=False) for token in TOKENS])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", chat_template=CHAT_TEMPLATE)


def qwen_like() -> PreTrainedTokenizerFast:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return bpe(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"), byte_level]))


TOKENIZERS = {"preset": build_tokenizer(TOKENS, [*WORDS, "Chosen: Next?"] * 20), "qwen": qwen_like()}


def user(body: str) -> Prompt:
    return Prompt.parse("sft/u", f"---\nvariables: [history]\nversion: 1\n---\n{body}\n")


def questions(histories: list[list[int]]) -> Questions:
    lengths = np.array([len(row) for row in histories], np.int64)
    items = np.concatenate([np.array(row, np.int64) for row in histories])
    columns = {"title": Texts(WORDS, items), "sid": Texts(SIDS, items)}
    history = Listing(np.cumsum(lengths) - lengths, lengths, columns, shrinks=True)
    nobody = np.full(len(histories), -1, np.int64)
    return Questions({"history": history}, Texts(SIDS, items[history.starts]), nobody, nobody)


@pytest.mark.parametrize("name", list(TOKENIZERS))
@pytest.mark.parametrize("body", [NUMBERED, BARE, COMMAS], ids=["numbered", "bare", "commas"])
@settings(max_examples=15, deadline=None)
@given(histories=st.lists(st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=4), min_size=1, max_size=6))
def test_pieces_give_the_tokens_of_whole_prompts(name: str, body: str, histories: list[list[int]]) -> None:
    composer = Composer(SYSTEM, user(body), Pieces(TOKENIZERS[name]))
    asked = questions(histories)
    assert composer.plain
    assert composer.composed(asked).rows() == composer.whole(asked).rows()
    rendered = [TOKENIZERS[name].decode(row) for row in composer.encode(asked).rows()]
    assert rendered == [composer.text(asked.values(row)) for row in range(len(asked))]


def test_prompts_that_change_values_are_tokenised_whole() -> None:
    composer = Composer(SYSTEM, user(LOUD), Pieces(TOKENIZERS["preset"]))
    asked = questions([[0, 1], [2]])
    assert not composer.plain
    assert not Composer(
        SYSTEM, user("{% for i in history %}{% if i.sid %}x{% endif %}{% endfor %}"), Pieces(None)
    ).plain
    assert composer.encode(asked).rows() == composer.whole(asked).rows()
    assert "RED TENT" in TOKENIZERS["preset"].decode(composer.encode(asked).rows()[0])


def test_a_tokenizer_that_joins_pieces_is_noticed() -> None:
    """Without a cut before words, merges run across the parts of a prompt; the rows stay right."""
    joining = bpe(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    composer = Composer(SYSTEM, user(BARE), Pieces(joining))
    asked = questions([[0, 1], [0, 5, 2]])
    assert composer.composed(asked).rows() != composer.whole(asked).rows()
    with pytest.warns(TrainingWarning, match="joins the parts of the prompt 'sft/u'; every row is tokenised whole"):
        assert composer.encode(asked).rows() == composer.whole(asked).rows()


def test_variables_that_no_prompt_takes_are_refused() -> None:
    lost = Prompt.parse("sft/u", "---\nvariables: []\nversion: 1\n---\nNext?\n")
    with pytest.raises(ConfigError, match="take no variable 'history'; the task fills it and they declare none"):
        Composer(SYSTEM, lost, Pieces(TOKENIZERS["preset"])).encode(questions([[0]]))
    missing = Prompt.parse("sft/u", "---\nvariables: [history, season]\nversion: 1\n---\n{{ history }}{{ season }}\n")
    with pytest.raises(ConfigError, match=r"missing .'season'."):
        Composer(SYSTEM, missing, Pieces(TOKENIZERS["preset"])).encode(questions([[0]]))


def test_a_text_is_tokenised_once() -> None:
    calls = []

    class Counting:
        def __getattr__(self, name):
            return getattr(TOKENIZERS["preset"], name)

        def __call__(self, texts, **settings):
            calls.append(list(texts))
            return TOKENIZERS["preset"](texts, **settings)

    pieces = Pieces(Counting())
    assert pieces.of(["x", "boots", "x"]).tolist() == [0, 1, 0]
    assert pieces.of_rows(Texts(WORDS, np.array([1, 4, 1]))).tolist() == [1, 0, 1]
    assert pieces.of_rows(Texts(WORDS, np.array([1, 2])), " ").tolist() == [2, 3]
    assert calls == [["x", "boots"], [" boots", " Coffee, 500g"]]


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6), data=st.data())
def test_ragged_rows_are_lists(rows: list[list[int]], data: st.DataObject) -> None:
    table = Ragged.of(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6) if rows else st.just([]))
    assert table.rows() == rows
    assert table.lengths.tolist() == [len(row) for row in rows]
    assert table.take(np.array(chosen, np.int64)).rows() == [rows[row] for row in chosen]
