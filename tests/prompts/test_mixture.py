"""Mixtures: shares, seeds, and rows that are longer than the context."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ConfigError, DataError, TrainingWarning, UnknownNameError
from agentrec.core.types import Catalogue, Histories
from agentrec.models.presets import build_tokenizer
from agentrec.prompts.forms import InstructionForm
from agentrec.prompts.mixture import Context, Rows, build_rows, draw, parse_tasks
from agentrec.prompts.questions import Material
from agentrec.semantic_ids.vocabulary import SIDVocabulary

N = 24
TITLES = (*(f"item number {item}" for item in range(N - 1)), "long " * 60)
CATALOGUE = Catalogue(tuple(f"id-{item}" for item in range(N)), {"title": TITLES})
VOCABULARY = SIDVocabulary(np.stack(np.divmod(np.arange(N), 5), axis=1).astype(np.int64))
SIDS = [VOCABULARY.text(item) for item in range(N)]
TOKENIZER = build_tokenizer(VOCABULARY.all_tokens, TITLES)
WALKS = [[(3 * user + step) % (N - 1) for step in range(2 + user % 6)] for user in range(25)]
MATERIAL = Material(Histories.from_lists(WALKS, list(range(25))), CATALOGUE, SIDS, max_items=5, targets_per_user=3)
WIDE = Context(4096)


def build(tasks: dict[str, float], context: Context = WIDE, seed: int = 0, material: Material = MATERIAL) -> Rows:
    return build_rows(material, TOKENIZER, tasks, context=context, seed=seed)


def test_tasks_are_read_from_text() -> None:
    assert parse_tasks(" next_item=1, title_to_sid = 0.3,sid_to_title") == {
        "next_item": 1.0,
        "title_to_sid": 0.3,
        "sid_to_title": 1.0,
    }
    for text, message in [
        ("next_item=0", "'next_item' has the weight '0'; expected a number above 0"),
        ("next_item=much", "'next_item' has the weight 'much'"),
        ("next_item=nan", "'next_item' has the weight 'nan'"),
        ("next_item,next_item=2", "'next_item' is given twice"),
        (" , ", "tasks is ' , '; expected name=weight pairs"),
    ]:
        with pytest.raises(ConfigError, match=message):
            parse_tasks(text)
    with pytest.raises(UnknownNameError, match="'next_itm'; those that exist are attributes_to_sid, long_tail"):
        parse_tasks("next_itm=1")


def test_weights_are_rows_relative_to_the_first_task() -> None:
    rows = build({"next_item": 2.0, "title_to_sid": 0.5, "sid_to_title": 4.0})
    first = len(MATERIAL.targets.items)
    assert np.bincount(rows.tasks).tolist() == [first, round(first / 4), 2 * first]
    named = rows.targets[rows.tasks == 1]
    assert len(np.unique(named)) == len(named)  # a sample without repetition
    counts = np.bincount(rows.targets[rows.tasks == 2], minlength=N)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(rows.targets[rows.tasks == 0], MATERIAL.targets.items)
    assert set(rows.users[rows.tasks > 0].tolist()) == {-1}


def test_one_seed_one_mixture() -> None:
    tasks = {"next_item": 1.0, "title_to_sid": 0.2}
    same, again, other = build(tasks), build(tasks), build(tasks, seed=1)
    assert same.tokens.rows() == again.tokens.rows()
    assert same.targets.tolist() != other.targets.tolist()


@settings(max_examples=40, deadline=None)
@given(population=st.integers(1, 20), size=st.integers(0, 90), seed=st.integers(0, 5))
def test_rows_are_drawn_about_equally_often(population: int, size: int, seed: int) -> None:
    counts = np.bincount(draw(population, size, seed, "task"), minlength=population)
    assert counts.sum() == size
    assert counts.max() - counts.min() <= 1


def test_the_recommending_prompt_is_the_training_prompt() -> None:
    """Row by row the tokens of the form that recommends, which builds them by another road."""
    rows = build({"next_item": 1.0})
    form = InstructionForm(TOKENIZER, VOCABULARY.item_token_ids(TOKENIZER), SIDS, CATALOGUE.titles, 5, 3)
    examples = form.examples(MATERIAL.histories)
    assert rows.tokens.rows() == [example.input_ids for example in examples]
    assert rows.labels.rows() == [example.labels for example in examples]


def test_the_oldest_items_go_first_where_a_prompt_is_too_long() -> None:
    whole = build({"next_item": 1.0})
    size = int(whole.tokens.lengths.max()) - 1
    with pytest.warns(TrainingWarning, match=r"rows of the task 'next_item' were longer than the context; up to 1 of"):
        cut = build({"next_item": 1.0}, Context(size))
    assert len(cut) == len(whole)
    for before, after in zip(whole.tokens.rows(), cut.tokens.rows(), strict=True):
        if len(before) <= size:
            assert after == before
            continue
        assert len(after) <= size
        old, new = (TOKENIZER.decode(ids).partition("oldest first:\n1. ")[2] for ids in (before, after))
        assert old.partition("\n2. ")[2].partition("<a")[0] == new.partition("<a")[0]  # the second is the first now
        assert after[-3:] == before[-3:]


def test_rows_that_cannot_fit_are_refused_or_dropped() -> None:
    tall = Material(Histories.from_lists([[N - 1, 1], [1, N - 1, 2], [3, 4]], [7, 8, 9]), CATALOGUE, SIDS)
    message = (
        r"2 of 4 rows of the task 'next_item' need up to \d+ tokens with the shortest history, among them row 0 \(user "
        r"7, item 1, \d+ tokens\), row 2 \(user 8, item 2, \d+ tokens\); expected at most 380"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "1 of 4 rows", TrainingWarning)
        with pytest.raises(DataError, match=message + ", so use .* or drop them with too_long=drop"):
            build({"next_item": 1.0}, Context(380), material=tall)
        with pytest.warns(TrainingWarning, match=message + "; these rows are dropped"):
            kept = build({"next_item": 1.0}, Context(380, "drop"), material=tall)
    assert kept.users.tolist() == [8, 9]
    assert kept.tokens.lengths.max() <= 380
    with pytest.raises(DataError, match=r"24 of 24 rows of the task 'title_to_sid'.*shorter texts$"):
        build({"title_to_sid": 1.0}, Context(20, "drop"))
