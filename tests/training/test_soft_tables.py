"""Tables of soft labels: each label token of each row gets the shares of its own history and prefix."""

import numpy as np
import pytest

from agentrec.core.errors import DataError
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.item_ranges import ItemRanges
from agentrec.decoding.index.sequences import SequenceTrie
from agentrec.decoding.shares.collaborative_tokenizer import CollaborativeTokenizer
from agentrec.models.presets import build_tokenizer
from agentrec.prompts.forms import IGNORE, Example, InstructionForm, SequenceForm
from agentrec.semantic_ids.vocabulary import SIDVocabulary
from agentrec.testing.generators import random_codes
from agentrec.testing.worlds import tiny_world
from agentrec.training.soft_tables import SoftLabelTable, build_table
from agentrec.training.teachers import Teacher, open_teacher, prefixes

WORLD = tiny_world()
VOCABULARY = SIDVocabulary(random_codes(200, (6, 6))[: WORLD.num_items], (6, 6), WORLD.catalogue.ids)
TOKENIZER = build_tokenizer(VOCABULARY.all_tokens, list(WORLD.catalogue.titles))
ITEM_TOKENS = VOCABULARY.item_token_ids(TOKENIZER)
INDEX = StaticIndex.build(VOCABULARY.codes, VOCABULARY.level_sizes)
SEQUENCE = SequenceForm(ITEM_TOKENS, TOKENIZER.bos_token_id, max_items=3)
SIDS = [VOCABULARY.text(item) for item in range(VOCABULARY.num_items)]
CHAT = InstructionForm(TOKENIZER, ITEM_TOKENS, SIDS, WORLD.catalogue.titles, targets_per_user=2)


def shares_of(form: SequenceForm | InstructionForm) -> CollaborativeTokenizer:
    if isinstance(form, SequenceForm):
        return CollaborativeTokenizer(ItemRanges.of_index(INDEX, VOCABULARY.token_ids(TOKENIZER)), 0.7)
    return CollaborativeTokenizer(ItemRanges.of_trie(SequenceTrie.build(ITEM_TOKENS.tolist(), TOKENIZER.eos_token_id)))


def table_of(form: SequenceForm | InstructionForm, teacher: Teacher, **how: object) -> SoftLabelTable:
    return build_table(form.examples(WORLD.train), WORLD.train, teacher, shares_of(form), dtype="float32", **how)


@pytest.mark.parametrize("form", [SEQUENCE, CHAT], ids=["sequence", "instruction"])
@pytest.mark.parametrize("rows", [[0], [3, 1, 2]])
def test_every_label_token_has_the_shares_of_its_history_and_prefix(form: SequenceForm, rows: list[int]) -> None:
    teacher, tokenizer = open_teacher("transitions", WORLD), shares_of(form)
    examples = form.examples(WORLD.train)
    soft = table_of(form, teacher).batch(np.array(rows))
    token = entry = 0
    for row in rows:
        example = examples[row]
        labels = [label for label in example.labels if label != IGNORE]
        width = len(labels) // len(example.targets)
        for number, place in enumerate(example.targets):
            answer = labels[number * width : (number + 1) * width]
            history = WORLD.train[example.owner]
            assert answer[:2] == ITEM_TOKENS[history[place]].tolist()
            for length in range(width):
                children = int(soft.widths[token])
                assert answer[length] in soft.tokens[entry : entry + children]
                assert bool(soft.taught[token]) == (place > 0)
                if place:
                    before = prefixes(WORLD.train, np.array([example.owner]), np.array([place]))
                    logits = np.log(np.maximum(teacher.scorer.score(before), 0))[0]
                    wanted = tokenizer.next_tokens(logits, answer[:length])
                    assert soft.tokens[entry : entry + children].tolist() == wanted[0].tolist()
                    assert np.allclose(soft.shares[entry : entry + children], wanted[1], atol=1e-6)
                token, entry = token + 1, entry + children
    assert (token, entry) == (len(soft.widths), len(soft.tokens))


def test_float16_is_close_and_half_the_size() -> None:
    teacher = open_teacher("transitions", WORLD)
    single = table_of(SEQUENCE, teacher)
    half = build_table(SEQUENCE.examples(WORLD.train), WORLD.train, teacher, shares_of(SEQUENCE))
    assert half.shares.dtype == np.float16
    assert half.shares.nbytes * 2 == single.shares.nbytes
    assert half.nbytes < single.nbytes
    assert np.allclose(half.shares, single.shares, rtol=1e-3, atol=1e-6)


def test_truncation_changes_shares_and_a_whole_catalogue_does_not() -> None:
    teacher = open_teacher("popularity", WORLD)
    whole, all_kept, few = (table_of(SEQUENCE, teacher, top_m=m).shares for m in (0, WORLD.num_items, 2))
    assert np.array_equal(whole, all_kept)
    assert not np.allclose(whole, few, atol=1e-3)


def test_rows_of_text_are_taught_by_nobody() -> None:
    text = Example([1, 2, 3], [IGNORE, 2, 3])
    examples = [SEQUENCE.examples(WORLD.train)[0], text]
    table = build_table(examples, WORLD.train, open_teacher("popularity", WORLD), shares_of(SEQUENCE))
    soft = table.batch(np.array([1]))
    assert soft.widths.tolist() == [0, 0]
    assert not soft.taught.any()
    assert len(soft.tokens) == len(soft.shares) == 0


def test_rows_that_do_not_fit_the_trie_are_named() -> None:
    with pytest.raises(DataError, match="training row 0 has 3 label tokens and its targets have 2"):
        build_table(CHAT.examples(WORLD.train), WORLD.train, open_teacher("popularity", WORLD), shares_of(SEQUENCE))
