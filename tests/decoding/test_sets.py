"""Sets of allowed items: a subset is the trie of its items, expressions are Python's sets, rows keep their own."""

import math
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentrec.core.errors import ArtefactError, ConfigError, DataError, EmptySetError, UnknownNameError
from agentrec.core.types import Catalogue, IntArray
from agentrec.decoding.children.candidates import Frontier, Searchable, best, best_by_children
from agentrec.decoding.index.csr import StaticIndex
from agentrec.decoding.index.trie import Trie
from agentrec.decoding.sets import bits
from agentrec.decoding.sets.expressions import LONGEST, evaluate, names, parse
from agentrec.decoding.sets.mixed import PerRow
from agentrec.decoding.sets.named import CACHED, ConstraintSets
from agentrec.decoding.sets.sources import having, listed, where
from agentrec.decoding.sets.subset import Subset
from agentrec.testing.constraints import ConstraintTests
from agentrec.testing.generators import random_codes

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple)


class TestSubset(ConstraintTests):
    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> Subset:
        return Subset.build(StaticIndex.build(codes, level_sizes), items)


class TestSubsetOfAPartOfTheCatalogue(ConstraintTests):
    """The index itself knows some items only, and others than the set are among them."""

    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> Subset:
        known = np.union1d(items, np.arange(0, len(codes), 2)) if len(items) else np.arange(len(codes))
        mask = np.zeros(len(codes), np.bool_)
        mask[items] = True
        return Subset.build(StaticIndex.build(codes, level_sizes, known), mask[: known.max() + 1])


class TestPerRow(ConstraintTests):
    """One row, or several that share their set."""

    def make(self, codes: IntArray, level_sizes: tuple[int, ...], items: IntArray) -> PerRow:
        return PerRow([Subset.build(StaticIndex.build(codes, level_sizes), items)])

    def test_any_shape_of_states_and_dead_ones(self) -> None:
        one, other = Trie.build(np.array([[0, 1]]), (2, 2)), Trie.build(np.array([[1, 0]]), (2, 2))
        found = PerRow([one, other, one]).children(0, torch.zeros(3, 2, dtype=torch.long))
        assert found.tolist() == [[[0, -1]] * 2, [[-1, 0]] * 2, [[0, -1]] * 2]
        assert (PerRow([one, other]).children(1, torch.full((2,), -1)) == -1).all()


def catalogue_of(data: Any, sizes: tuple[int, ...], seed: int) -> IntArray:
    rows = random_codes(data.draw(st.integers(1, min(math.prod(sizes), 60))), sizes, seed)
    return np.random.default_rng(seed).permutation(rows)


def some(data: Any, num_items: int) -> list[int]:
    return data.draw(st.lists(st.integers(0, num_items - 1), min_size=1, max_size=num_items))


def walks(constraint: Any, sizes: tuple[int, ...]) -> dict[tuple[int, ...], int]:
    """Every code sequence that can be written, with what stands at its end."""
    found = {(): 0}
    for level in range(len(sizes)):
        states = torch.tensor(list(found.values()))
        children = constraint.children(level, states).tolist()
        found = {
            (*prefix, code): state
            for prefix, row in zip(found, children, strict=True)
            for code, state in enumerate(row)
            if state >= 0
        }
    return found


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, data=st.data(), seed=st.integers(0, 2**16))
def test_a_subset_writes_what_the_trie_of_its_items_writes(sizes: tuple[int, ...], data: Any, seed: int) -> None:
    codes = catalogue_of(data, sizes, seed)
    items = some(data, len(codes))
    subset, trie = Subset.build(StaticIndex.build(codes, sizes), items), Trie.build(codes, sizes, np.array(items))
    expected = {tuple(codes[item].tolist()): item for item in items}
    assert walks(subset, sizes) == walks(trie, sizes) == expected
    assert subset.num_items == trie.num_items == len(expected)
    assert subset.items().tolist() == sorted(expected.values())
    assert walks(PerRow([subset]), sizes) == expected


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, data=st.data(), seed=st.integers(0, 2**16), k=st.integers(1, 12))
def test_search_advance_and_masks_are_those_of_the_trie(sizes: tuple[int, ...], data: Any, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    codes = catalogue_of(data, sizes, seed)
    items = some(data, len(codes))
    index, trie = StaticIndex.build(codes, sizes), Trie.build(codes, sizes, np.array(items))
    subset = Subset.build(index, items)
    beams, truth = (Frontier(0, torch.zeros(3, 1).long(), torch.zeros(3, 1)) for _ in range(2))
    for level, size in enumerate(sizes):
        columns = torch.from_numpy(rng.permutation(size + 4)[:size].astype(np.int64))
        logprobs = torch.from_numpy(rng.normal(size=(3, beams.states.shape[1], size + 4)).astype(np.float32))
        logprobs[torch.from_numpy(rng.random(logprobs.shape) < 0.1)] = -np.inf
        ask: dict[str, Any] = {"columns": columns}
        if level == len(sizes) - 1:
            ask["barred"] = torch.tensor([[items[0], -1], [-1, -1], [items[-1], items[0]]])
        expected = best_by_children(trie, truth, logprobs, k, **ask)
        compiled = best(subset, beams, logprobs, k, **ask)
        plain = index.search(beams, logprobs, k, **ask, bits=subset.bits[level])
        slow = best_by_children(subset, beams, logprobs, k, **ask)
        for found in (compiled, plain, slow):
            for field in ("scores", "parents", "codes"):
                assert torch.equal(getattr(found, field), getattr(expected, field)), field
        alive = compiled.states >= 0
        assert torch.equal(alive, expected.states >= 0)
        states, wanted = beams.states, torch.from_numpy(rng.integers(-1, size + 1, beams.states.shape))
        assert torch.equal(subset.allowed(level, states), trie.allowed(level, truth.states))
        reached = trie.advance(level, truth.states, wanted)
        assert torch.equal(subset.advance(level, states, wanted) >= 0, reached >= 0)
        masked = subset.mask_logits(level, states, torch.zeros_like(logprobs), columns)
        assert torch.equal(masked[..., columns] == 0, trie.allowed(level, truth.states))
        assert int((masked == 0).sum()) == int(trie.allowed(level, truth.states).sum())
        beams = Frontier(level + 1, compiled.states, compiled.scores)
        truth = Frontier(level + 1, expected.states, expected.scores)
    assert torch.equal(beams.states, truth.states)  # items


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, data=st.data(), seed=st.integers(0, 2**16))
def test_operators_are_those_of_sets(sizes: tuple[int, ...], data: Any, seed: int) -> None:
    codes = catalogue_of(data, sizes, seed)
    index, every = StaticIndex.build(codes, sizes), set(range(len(codes)))
    one, other = set(some(data, len(codes))), set(some(data, len(codes)))
    a, b = Subset.build(index, sorted(one), name="a"), Subset.build(index, sorted(other), name="b")
    cases: list[tuple[Callable[[], Subset], set[int]]] = [
        (lambda: a & b, one & other),
        (lambda: a | b, one | other),
        (lambda: a - b, one - other),
        (lambda: ~a, every - one),
        (lambda: ~(a | b), every - (one | other)),
    ]
    for make, expected in cases:
        try:
            made = make()
        except EmptySetError:
            assert not expected
            continue
        assert expected
        assert set(made.items().tolist()) == expected
        again = Subset.build(index, sorted(expected))
        for level in range(len(sizes)):
            assert torch.equal(made.bits[level], again.bits[level])


class Bits(set[int]):
    """Python's sets with a complement among 12."""

    def __invert__(self) -> "Bits":
        return Bits(set(range(12)) - self)

    def __and__(self, other: Any) -> "Bits":
        return Bits(set.__and__(self, other))

    def __or__(self, other: Any) -> "Bits":
        return Bits(set.__or__(self, other))

    def __sub__(self, other: Any) -> "Bits":
        return Bits(set.__sub__(self, other))


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "c", "d"]),
    lambda inner: st.one_of(
        inner.map(lambda one: f"~{one}"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, st.sampled_from([" & ", "|", " - "]), inner).map("".join),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@example(text="a - b & c", seed=0)
@example(text="a - b - c", seed=0)
@example(text="a | b & c", seed=0)
@example(text="~a - b | ~(c & d)", seed=0)
@given(text=EXPRESSIONS, seed=st.integers(0, 2**16))
def test_expressions_mean_what_python_means(text: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = {name: Bits(np.flatnonzero(rng.random(12) < 0.5).tolist()) for name in "abcd"}
    expected = eval(text, {"__builtins__": {}}, sets)
    numbers = {name: sum(1 << item for item in members) for name, members in sets.items()}
    assert evaluate(parse(text), numbers, 2**12 - 1) == sum(1 << item for item in expected)
    assert names(parse(text)) == set(re.findall("[abcd]", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the end at character 1; expected the name of a set"),
        ("a &", "has the end at character 4; expected the name of a set"),
        ("a b", "has 'b' at character 2; expected an operator"),
        ("a & | b", "has '| b' at character 4; expected the name of a set"),
        ("(a", r"expected a \) for every \("),
        ("a)", r"expected a \( for every \)"),
        ("()", "expected the name of a set"),
        ("a(b)", "expected an operator"),
        ("__import__('os')", r"has '\(\\'os\\'\)' at character 11|has \"\('os'\)\" at character 11"),
        ("a; b", "expected an operator"),
        ("-a", "expected the name of a set"),
        ("a" * (LONGEST + 1), "has 1001 characters; expected at most 1000"),
    ],
)
def test_malformed_expressions_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_deep_expressions_do_not_exhaust_the_stack() -> None:
    deep = "(" * 400 + "~" * 150 + "a" + ")" * 400
    assert evaluate(parse(deep), {"a": 5}, 7) == 5


def shop() -> tuple[IntArray, ConstraintSets]:
    codes = random_codes(500, (8, 9, 10))
    return codes, ConstraintSets(StaticIndex.build(codes, (8, 9, 10)))


def test_named_sets_are_combined_replaced_and_removed() -> None:
    codes, sets = shop()
    every = set(range(len(codes)))
    assert sets.put("in_stock", np.arange(len(codes)) % 2 == 0) == (len(codes) + 1) // 2
    assert sets.put("category=Home/Garden", [1, 2, 3, 4]) == 4
    found = sets.get("in_stock & category=Home/Garden")
    assert found.items().tolist() == [2, 4]
    assert sets.get("  in_stock&category=Home/Garden") is found
    assert set(sets.get("all - in_stock").items().tolist()) == {item for item in every if item % 2}
    assert sets.get("all").num_items == len(codes)
    assert sets.sizes() == {"all": len(codes), "category=Home/Garden": 4, "in_stock": (len(codes) + 1) // 2}
    untouched = sets.get("all - category=Home/Garden")
    sets.put("in_stock", [3, 5])
    assert sets.get("in_stock & category=Home/Garden").items().tolist() == [3]
    assert sets.get("all - category=Home/Garden") is untouched
    assert found.items().tolist() == [2, 4]
    sets.remove("in_stock")
    assert "in_stock" not in sets
    with pytest.raises(UnknownNameError, match=r"named 'in_stock'; those that exist are all, category=Home/Garden"):
        sets.get("all - in_stock")
    with pytest.raises(UnknownNameError, match="'in_stock'"):
        sets.remove("in_stock")


def test_an_empty_set_is_never_a_free_pass() -> None:
    _, sets = shop()
    sets.put("a", [1, 2])
    with pytest.raises(EmptySetError, match="'b' holds none of the"):
        sets.put("b", [])
    with pytest.raises(EmptySetError, match="'c' holds none of the"):
        sets.put("c", np.zeros(sets.get("all").num_items, np.bool_))
    with pytest.raises(EmptySetError, match="'a - a' holds none"):
        sets.get("a - a")
    with pytest.raises(EmptySetError, match=r"'\(a & ~a\)' holds none"):
        sets.get("a") & (~sets.get("a"))
    with pytest.raises(EmptySetError, match="'~all'"):
        ~sets.get("all")
    assert sets.get("a - a | a").items().tolist() == [1, 2]  # empty only on the way
    assert sets.put("recalled", [], may_be_empty=True) == 0
    assert sets.sizes()["recalled"] == 0
    assert sets.get("a - recalled").items().tolist() == [1, 2]
    with pytest.raises(EmptySetError, match="'recalled' holds none"):
        sets.get("recalled")
    assert "b" not in sets


def test_items_that_cannot_be_meant_are_named() -> None:
    codes = random_codes(300, (8, 9, 10))
    size = len(codes)
    sets = ConstraintSets(StaticIndex.build(codes, (8, 9, 10)))
    with pytest.raises(DataError, match=f"names item {size}; expected indexes 0 to {size - 1}"):
        sets.put("a", [0, size])
    with pytest.raises(DataError, match="names item -1"):
        sets.put("a", [-1])
    with pytest.raises(DataError, match=f"mask of {size - 1} items; expected {size}"):
        sets.put("a", np.ones(size - 1, np.bool_))
    with pytest.raises(DataError, match="1-dimensional float64; expected one bool per item"):
        sets.put("a", np.ones(3))  # type: ignore[arg-type]
    even = StaticIndex.build(codes, (8, 9, 10), np.arange(0, size, 2))
    assert (~Subset.build(even, [2])).items().tolist() == [0, *range(4, size, 2)]
    with pytest.raises(DataError, match=r"'odd' has 2 items that the index does not hold, for example item 3"):
        Subset.build(even, [2, 3, 5], name="odd")
    with pytest.raises(DataError, match="belong to two indexes"):
        Subset.build(even, [2], name="a") | Subset.build(StaticIndex.build(codes, (8, 9, 10)), [2], name="b")
    with pytest.raises(DataError, match="subset of another index"):
        sets.put("a", Subset.build(even, [2]))
    for name in ("in stock", "-x", "", "a" * 101, "all"):
        with pytest.raises(ConfigError):
            sets.put(name, [0])


def test_the_cache_of_expressions_is_bounded() -> None:
    _, sets = shop()
    for item in range(CACHED + 20):
        sets.put(f"s{item}", [item, item + 1])
    made = [sets.get(f"s{item} | s0") for item in range(CACHED + 20)]
    assert len(sets._state.cache) == CACHED
    assert sets.get(f"s{CACHED + 19} | s0") is made[-1]
    assert sets.get("s1 | s0").items().tolist() == [0, 1, 2]


def test_searches_go_on_while_sets_are_replaced() -> None:
    """Every search sees one whole set, the old or the new, whoever swaps meanwhile."""
    codes, sets = shop()
    size = len(codes)
    halves = [np.arange(size) % 2 == side for side in (0, 1)]
    sets.put("now", halves[0])
    sets.put("seen", [0, 1])
    stop, wrong, counts = threading.Event(), [], [0, 0]
    rng = np.random.default_rng(0)
    lines = [torch.from_numpy(rng.normal(size=(2, 8, 10)).astype(np.float32)) for _ in range(3)]

    def read(reader: int) -> None:
        try:
            while not stop.is_set():
                subset = sets.get("now - seen")
                beams = Frontier(0, torch.zeros(2, 1).long(), torch.zeros(2, 1))
                for level in range(3):
                    found = best(subset, beams, lines[level][:, : beams.states.shape[1]], 8)
                    beams = Frontier(level + 1, found.states, found.scores)
                items = beams.states[beams.states >= 0]
                if len(items) == 0 or len(set((items % 2).tolist())) != 1 or int(items.min()) < 2:
                    wrong.append(items.tolist())
                counts[reader] += 1
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(reader,)) for reader in (0, 1)]
    for thread in threads:
        thread.start()
    swaps, until = 0, time.monotonic() + 1.0
    while time.monotonic() < until or (min(counts) < 3 and not wrong and time.monotonic() < until + 20):
        swaps += 1
        sets.put("now", halves[swaps % 2])
        sets.put("other", [swaps % size])
        sets.remove("other")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(counts) >= 3
    assert swaps > 10
    assert set((sets.get("now").items() % 2).tolist()) == {1 if swaps % 2 else 0}


def test_readers_do_not_wait_for_a_writer() -> None:
    _, sets = shop()
    sets.put("a", [1, 2])
    sets.get("all - a")
    with sets._lock:  # as a writer that takes its time
        done = threading.Thread(target=lambda: (sets.get("a"), sets.get("all - a"), sets.sizes()))
        done.start()
        done.join(5)
        assert not done.is_alive()


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, data=st.data(), seed=st.integers(0, 2**16), k=st.integers(1, 6), split=st.integers(1, 3))
def test_rows_of_a_batch_find_what_they_find_alone(
    sizes: tuple[int, ...], data: Any, seed: int, k: int, split: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = catalogue_of(data, sizes, seed)
    index = StaticIndex.build(codes, sizes)
    choices: list[Any] = [Subset.build(index, some(data, len(codes))) for _ in range(2)]
    choices += [index, Trie.build(codes, sizes)]
    own = [choices[choice] for choice in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))]
    mixed = PerRow(own)
    assert isinstance(mixed, Searchable)
    assert mixed.num_items == min(constraint.num_items for constraint in own)
    rows = len(own) * split
    states, scores = torch.zeros(rows, 1).long(), torch.zeros(rows, 1)
    for level, size in enumerate(sizes):
        columns = torch.from_numpy(rng.permutation(size + 3)[:size].astype(np.int64))
        logprobs = torch.from_numpy(rng.normal(size=(rows, states.shape[1], size + 3)).astype(np.float32))
        barred = torch.from_numpy(rng.integers(-1, len(codes), (rows, 2))) if level == len(sizes) - 1 else None
        found = best(mixed, Frontier(level, states, scores), logprobs, k, columns=columns, barred=barred)
        children, allowed = mixed.children(level, states), mixed.allowed(level, states)
        reached = mixed.advance(level, states, states % size)
        for row in range(rows):
            part, one = slice(row, row + 1), own[row // split]
            alone = best(
                one,
                Frontier(level, states[part], scores[part]),
                logprobs[part],
                k,
                columns=columns,
                barred=None if barred is None else barred[part],
            )
            for together, single in zip(found[:4], alone[:4], strict=True):
                assert torch.equal(together[part], single)
            assert torch.equal(children[part], one.children(level, states[part]))
            assert torch.equal(allowed[part], one.allowed(level, states[part]))
            assert torch.equal(reached[part], one.advance(level, states[part], states[part] % size))
        states, scores = found.states, found.scores


def test_rows_are_taken_and_miscounted_ones_named() -> None:
    codes, sets = shop()
    sets.put("a", [1])
    mixed = sets.rows(["a", "all", "a", "all - a"])
    assert mixed.take([3, 0]).constraints == (sets.get("all - a"), sets.get("a"))
    with pytest.raises(DataError, match="6 batch rows meet 4 constraints"):
        mixed.children(0, torch.zeros(6).long())
    with pytest.raises(DataError, match="no constraints"):
        PerRow([])
    with pytest.raises(DataError, match=r"row 1 has level sizes \(8, 90, 10\) and that of row 0 \(8, 9, 10\)"):
        PerRow([sets.get("a"), Trie.build(codes, (8, 90, 10))])


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, data=st.data(), seed=st.integers(0, 2**16))
def test_bits_are_the_same_in_plain_torch(sizes: tuple[int, ...], data: Any, seed: int) -> None:
    codes = catalogue_of(data, sizes, seed)
    index = StaticIndex.build(codes, sizes)
    made = Subset.build(index, some(data, len(codes)))
    assert torch.equal(bits.gathered_plainly(made.members, index.items), made.bits[-1])
    for offsets, above, below in zip(index.offsets[1:], made.bits[:-1], made.bits[1:], strict=True):
        assert torch.equal(bits.any_below_plainly(offsets, below), above)
    flags = bits.unpacked(made.members)
    assert torch.equal(bits.packed(flags.bool()), made.members)
    assert flags.nonzero().flatten().tolist() == made.items().tolist()


@pytest.mark.gpu
def test_sets_on_a_device_are_those_on_the_processor() -> None:
    codes = random_codes(5000, (16, 17, 18))
    index = StaticIndex.build(codes, (16, 17, 18))
    items = np.arange(0, len(codes), 7)
    here, moved = Subset.build(index, items), Subset.build(index.to("cuda"), items)
    for one in (moved, here.to("cuda"), ~~moved):
        assert one.num_items == here.num_items
        for level in range(3):
            assert torch.equal(one.bits[level].cpu(), here.bits[level])
    beams = Frontier(1, torch.arange(16)[None].repeat(2, 1), torch.zeros(2, 16))
    lines = torch.randn(2, 16, 17)
    there = Frontier(1, beams.states.cuda(), beams.scores.cuda())
    for constraint in (moved, PerRow([moved, ~moved])):
        same = here if constraint is moved else PerRow([here, ~here])
        assert torch.equal(best(constraint, there, lines.cuda(), 20).states.cpu(), best(same, beams, lines, 20).states)


def test_saved_sets_open_over_the_same_index_only(tmp_path: Path) -> None:
    codes, sets = shop()
    sets.put("a", [1, 2, 8])
    sets.put("category=x", [5])
    sets.put("recalled", [], may_be_empty=True)
    sets.save(tmp_path / "sets")
    again = ConstraintSets.load(tmp_path / "sets", StaticIndex.build(codes, (8, 9, 10)))
    assert again.sizes() == sets.sizes()
    assert again.get("a | category=x").items().tolist() == [1, 2, 5, 8]
    other = StaticIndex.build(codes[::-1].copy(), (8, 9, 10))
    with pytest.raises(ArtefactError, match="belong to the index"):
        ConstraintSets.load(tmp_path / "sets", other)
    sets.index.save(tmp_path / "index")
    with pytest.raises(ArtefactError, match="expected decoding/constraint_sets"):
        ConstraintSets.load(tmp_path / "index", sets.index)
    arrays = next((tmp_path / "sets").glob("arrays-*.safetensors"))
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 255
    content[-3] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(ArtefactError, match="other sizes than its"):
        ConstraintSets.load(tmp_path / "sets", sets.index)
    arrays.write_bytes(content[:40])
    with pytest.raises(ArtefactError, match="damaged"):
        ConstraintSets.load(tmp_path / "sets", sets.index)


def goods() -> Catalogue:
    return Catalogue(("x1", "x2", "x3"), {"category": ("shoes", "", "tents"), "price": ("20", "7.5", "90")})


def test_masks_from_columns_of_the_catalogue() -> None:
    assert where(goods(), "price", lambda price: float(price) < 50).tolist() == [True, True, False]
    assert where(goods(), "id", lambda item: item > "x1").tolist() == [False, True, True]
    assert having(goods(), "category", ["tents", "shoes"]).tolist() == [True, False, True]
    assert having(goods(), "category", "tents").tolist() == [False, False, True]
    with pytest.raises(DataError, match="no column 'brand'; those that exist are id, category, price"):
        having(goods(), "brand", ["x"])
    with pytest.raises(DataError, match="no item has 'tent' in column 'category'; expected values such as 'shoes', "):
        having(goods(), "category", ["tents", "tent"])


def test_masks_from_files_of_item_ids(tmp_path: Path) -> None:
    file = tmp_path / "stock.txt"
    file.write_text("\ufeffx3\r\n\r\n x1 \nx3\n", encoding="utf-8")
    assert listed(file, goods()).tolist() == [True, False, True]
    file.write_text("x1\ny1\n" + "".join(f"z{i}\n" for i in range(9)))
    with pytest.raises(DataError, match=r"'y1' on line 2, 'z0' on line 3, .* and 5 more; expected ids of its 3"):
        listed(file, goods())
    with pytest.raises(DataError, match=r"nowhere.txt could not be read \(No such file"):
        listed(tmp_path / "nowhere.txt", goods())
    file.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(DataError, match="could not be read"):
        listed(file, goods())


def test_a_million_items_make_a_set_in_a_moment() -> None:
    """0.01 s on an idle core; the bound leaves room for a busy one."""
    count = 1_000_000
    numbers = np.random.default_rng(0).permutation(2**32 // 4096)[:count].astype(np.int64) * 4096 + 7
    codes = np.stack([(numbers >> shift) & 255 for shift in (24, 16, 8, 0)], axis=1)
    index = StaticIndex.build(codes, (256,) * 4)
    mask = np.random.default_rng(1).random(count) < 0.5
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        made = Subset.build(index, mask)
        taken.append(time.perf_counter() - start)
    assert made.num_items == int(mask.sum())
    assert min(taken) < 0.1
