"""Answers that are planted in prompts are found; prompts of both forms are clean."""

from dataclasses import replace

import numpy as np
import pytest

from agentrec.core.types import Catalogue, HeldOut, Histories
from agentrec.data.dataset import Dataset, Interactions
from agentrec.data.split import leave_one_out
from agentrec.evaluation.leaks.prompt_leaks import count_runs, count_words, targets_in_prompts
from agentrec.models.presets import build_tokenizer
from agentrec.prompts.forms import build_form
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes
from agentrec.testing.worlds import tiny_world


@pytest.fixture(scope="module")
def world():
    world = tiny_world()
    lengths = world.sequences.lengths
    order = np.concatenate([np.arange(length) for length in lengths])
    rows = Interactions.sort(np.repeat(world.sequences.users, lengths), world.sequences.items, order)
    dataset = Dataset("tiny", [f"u{user}" for user in range(len(lengths))], world.catalogue, rows)
    vocabulary = SIDVocabulary(random_codes(200, (6, 6, 6))[: dataset.num_items], (6, 6, 6))
    corpus = [*dataset.catalogue.titles, "The user chose these items, oldest first: Which item comes next?"]
    return dataset, vocabulary, build_tokenizer(vocabulary.all_tokens, corpus)


def form_of(world, name, **settings):
    dataset, vocabulary, tokenizer = world
    sids = [vocabulary.text(item) for item in range(dataset.num_items)]
    tokens = vocabulary.item_token_ids(tokenizer)
    return build_form({"form": name, **settings}, tokenizer, tokens, sids, dataset.catalogue.titles)


def check(world, form, held=None):
    dataset, vocabulary, tokenizer = world
    held = held or leave_one_out(dataset).reveal("test")
    return targets_in_prompts(dataset, held, form, vocabulary.item_token_ids(tokenizer), tokenizer)


class Telling:
    """A form that adds something to the prompt, which depends on the true next item."""

    def __init__(self, form, world, tell, every=1):
        dataset = world[0]
        held = leave_one_out(dataset).reveal("test")
        self.form, self.tell, self.max_items = form, tell, form.max_items
        rows = zip(held.histories, held.targets.tolist(), strict=True)
        self.next = {row.tobytes(): target for number, (row, target) in enumerate(rows) if number % every == 0}

    def prompt(self, history):
        target = self.next.get(history.tobytes())
        return [*self.form.prompt(history), *([] if target is None else self.tell(target))]


@pytest.mark.parametrize("form", ["sequence", "instruction"])
@pytest.mark.parametrize("max_items", [2, 50])
def test_prompts_of_both_forms_are_clean(world, form, max_items):
    by_sid, by_title = check(world, form_of(world, form, max_items=max_items))
    assert (by_sid.checked, by_sid.violations) == (60, 0)
    assert (by_title.checked, by_title.violations) == (60, 0)
    assert by_title.facts == {"unreadable_titles": 0}


@pytest.mark.parametrize("form", ["sequence", "instruction"])
def test_a_semantic_id_in_the_prompt_is_found(world, form):
    tokens = world[1].item_token_ids(world[2])
    telling = Telling(form_of(world, form), world, lambda target: tokens[target].tolist())
    by_sid, by_title = check(world, telling)
    assert by_sid.is_leak
    assert by_sid.violations == 60
    assert by_sid.examples[0].startswith("the prompt of user 'u0' tells 'cycle 0 item")
    assert not by_title.violations


def test_a_title_in_the_prompt_is_found_at_the_users_it_is_told(world):
    dataset, _, tokenizer = world
    titles = dataset.catalogue.titles
    telling = Telling(
        form_of(world, "instruction"), world, lambda target: tokenizer.encode(titles[target].upper().lower()), every=30
    )
    by_sid, by_title = check(world, telling)
    assert not by_sid.violations
    # Users of one walk share the prompt, and its words.
    held = leave_one_out(dataset).reveal("test")
    told = [row.tobytes() in telling.next for row in held.histories]
    assert by_title.violations == sum(told) >= 2


def test_a_history_that_shows_the_target_explains_it_but_no_second_time(world):
    tokens = world[1].item_token_ids(world[2])
    again = HeldOut("test", Histories.from_lists([[5, 3, 5]], [0]), np.array([5]))
    form = form_of(world, "sequence")
    assert not check(world, form, again)[0].violations

    class Twice:
        max_items = 50

        def prompt(self, history):
            return [*form.prompt(history), *(tokens[5].tolist() if len(history) == 3 else [])]

    assert check(world, Twice(), again)[0].violations == 1
    # Of a window of one item, the history explains one place only.
    short = replace(form, max_items=1)
    assert not check(world, short, again)[0].violations
    assert check(world, type("Long", (), {"max_items": 1, "prompt": staticmethod(form.prompt)})(), again)[0].violations


def test_words_of_the_instruction_and_titles_inside_titles_are_no_leak(world):
    _, vocabulary, _ = world
    titles = ("item", "cup", "tea cup", "pot")
    catalogue = Catalogue(tuple("abcd"), {"title": titles})
    dataset = Dataset("d", ["u"], catalogue, Interactions.sort(np.zeros(3, int), np.array([2, 3, 0]), np.arange(3)))
    few = SIDVocabulary(vocabulary.codes[:4], (6, 6, 6))
    tokenizer = build_tokenizer(few.all_tokens, [*titles, "The user chose these items. Which item comes next?"] * 3)
    words = (dataset, few, tokenizer)
    for history, target in (([2, 3], 1), ([2, 3], 0), ([2], 3)):
        held = HeldOut("test", Histories.from_lists([history], [0]), np.array([target]))
        assert not check(words, form_of(words, "instruction"), held)[1].violations


def test_titles_that_the_model_cannot_read_are_counted_not_searched(world):
    dataset, vocabulary, _ = world
    wordless = (dataset, vocabulary, build_tokenizer(vocabulary.all_tokens))
    by_sid, by_title = check(wordless, form_of(wordless, "sequence"))
    assert by_sid.checked == 60
    assert (by_title.checked, by_title.violations, by_title.facts) == (0, 0, {"unreadable_titles": 60})


def test_runs_and_words_are_counted_by_the_book():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids, run = rng.integers(0, 2, 12).tolist(), rng.integers(0, 2, rng.integers(1, 4)).tolist()
        assert count_runs(ids, run) == sum(ids[i : i + len(run)] == run for i in range(13 - len(run)))
    assert (count_runs([1], [1, 2]), count_runs([1], [])) == (0, 0)
    assert count_words("a cup, cups and a (cup)", "cup") == 2
    assert count_words("anything", "") == 0
