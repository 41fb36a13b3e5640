"""A whole constrained search without a model: random log-probabilities at every level, the same for everyone."""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from agentrec.decoding.children.candidates import Frontier
from agentrec.decoding.children.normaliser import log_total
from agentrec.decoding.index.csr import StaticIndex
from agentrec.testing.decoding_rivals.binary_search import SortedRows
from agentrec.testing.decoding_rivals.bitmap import HashedPrefixes
from agentrec.testing.decoding_rivals.dict_trie import DictTrie
from agentrec.testing.decoding_rivals.masked import Found, PrefixMask, masked_search
from agentrec.testing.decoding_rivals.static import StaticTrie
from decoding_bench.measure import catalogue, interleaved, middle, ratio, seconds, sorted_codes

Lines = list[torch.Tensor]


class Sizes(NamedTuple):
    """What is measured."""

    batch: int = 16
    beams: int = 50
    codes: tuple[int, ...] = (256, 2048)
    levels: tuple[int, ...] = (4, 8)
    items: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    draws: int = 2  # different log-probabilities, taken in turn
    repeats: int = 15
    dictionary_items: int = 1_000_000
    grammar_items: tuple[int, ...] = (1_000, 10_000)


QUICK = Sizes(4, 10, (32, 64), (4,), (1_000, 10_000), 2, 3, 10_000, (100,))


def draw(sizes: Sizes, codes: int, levels: int) -> tuple[list[Lines], list[Lines]]:
    """Logits and log-probabilities: per draw and level (B, 1, V), then (B, M, V).

    All levels of a draw read the same numbers, so that they are as near to the processor as what a model has just
    written.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.batch, sizes.beams, codes)
    logits = [torch.randn(shape, generator=generator) for _ in range(sizes.draws)]
    each = lambda line: [line[:, :1].contiguous(), *[line] * (levels - 1)]  # noqa: E731
    return [each(line) for line in logits], [each(line.log_softmax(-1)) for line in logits]


def ours(index: StaticIndex, lines: Lines, beams: int, *, plain: bool = False, logits: bool = False) -> Any:
    """By `StaticIndex.top_candidates`, or by its plain torch twin; from logits with the normaliser of every beam."""
    states, scores = torch.zeros(len(lines[0]), 1).long(), torch.zeros(len(lines[0]), 1)
    choose = index.search if plain else index.top_candidates
    for level, line in enumerate(lines):
        line = line[:, : states.shape[1]]
        found = choose(Frontier(level, states, scores - log_total(line) if logits else scores), line, beams)
        states, scores = found.states, found.scores
    return found


def static(trie: StaticTrie, lines: Lines, beams: int, *, exact: bool, logits: bool = False) -> Found:
    given = [line.log_softmax(-1) for line in lines] if logits else lines
    return trie.search(given, beams, **({"dense_candidates": None} if exact else {}))


def _actions(sizes: Sizes, codes: int, levels: int) -> dict[tuple[str, int], Callable[[int], Any]]:
    """Everything that is timed for one shape, by name and number of items; checked to find the same."""
    logits, logprobs = draw(sizes, codes, levels)
    actions: dict[tuple[str, int], Callable[[int], Any]] = {}
    for count in sizes.items:
        words, layout = catalogue(count, codes, levels)
        index = StaticIndex.from_words(words, layout)
        rows = sorted_codes(words, layout)
        trie = StaticTrie.build(rows, codes)
        _check(ours(index, logprobs[0], sizes.beams), static(trie, logprobs[0], sizes.beams, exact=True))
        for name, run in _ways(index=index, trie=trie, beams=sizes.beams).items():
            lines = logits if name.endswith("from_logits") else logprobs
            actions[name, count] = lambda number, run=run, lines=lines: run(lines[number % len(lines)])
    return actions


def _ways(index: StaticIndex, trie: StaticTrie, beams: int) -> dict[str, Callable[[Lines], Any]]:
    return {
        "ours": lambda lines: ours(index, lines, beams),
        "ours_from_logits": lambda lines: ours(index, lines, beams, logits=True),
        "ours_plain_torch": lambda lines: ours(index, lines, beams, plain=True),
        "static": lambda lines: static(trie, lines, beams, exact=False),
        "static_from_logits": lambda lines: static(trie, lines, beams, exact=False, logits=True),
        "static_exact": lambda lines: static(trie, lines, beams, exact=True),
        "static_exact_from_logits": lambda lines: static(trie, lines, beams, exact=True, logits=True),
    }


def _check(mine: Any, theirs: Found) -> None:
    if not torch.equal(mine.scores, theirs.scores):
        raise SystemExit("the index and the exact STATIC search found different scores")


def grid(sizes: Sizes, threads: tuple[int, ...]) -> tuple[dict[str, float], dict[str, Any]]:
    """Ours and STATIC over all shapes and sizes."""
    table: dict[str, dict[str, float]] = {}
    rounds: dict[tuple[int, int, int], dict[Any, list[float]]] = {}
    for codes, levels in itertools.product(sizes.codes, sizes.levels):
        print(f"search: {levels} levels of {codes} codes", file=sys.stderr)
        actions = _actions(sizes, codes, levels)
        for count in threads:
            torch.set_num_threads(count)
            found = interleaved(actions, sizes.repeats)
            rounds[codes, levels, count] = found
            row = {f"{name}_{items}": 1e3 * value for (name, items), value in middle(found).items()}
            table[f"{codes}x{levels}_{count}_threads"] = row
    torch.set_num_threads(threads[0])
    figures: dict[str, float] = {}
    detail: dict[str, Any] = {"milliseconds": table}
    for count in threads:
        mine = {shape[:2]: found for shape, found in rounds.items() if shape[2] == count}
        figures |= _ratios(sizes, mine, "" if count == threads[0] else f"_{count}_threads", detail)
    return figures, detail


def _ratios(sizes: Sizes, rounds: dict[Any, Any], suffix: str, detail: dict[str, Any]) -> dict[str, float]:
    """Flatness and speed-ups, with their values by setting in ``detail``."""
    small, large = sizes.items[0], sizes.items[-1]
    figures = {}
    for key, name in (("flat_in_items_given_logprobs", "ours"), ("flat_in_items", "ours_from_logits")):
        each = {
            f"{codes}x{levels}": ratio(found, (name, large), (name, small)) for (codes, levels), found in rounds.items()
        }
        detail[key + suffix], figures[key + suffix] = each, max(each.values())
    for rival, way in itertools.product(("static", "static_exact"), ("", "_from_logits")):
        each = {
            f"{codes}x{levels}_{items}": ratio(found, (rival + way, items), ("ours" + way, items))
            for (codes, levels), found in rounds.items()
            for items in (small, large)
        }
        key = f"speedup_vs_{rival}{way}{suffix}"
        detail[key], figures[key] = each, statistics.median(each.values())
    return figures


def prefix_function(sizes: Sizes, codes: int) -> tuple[float, dict[str, float]]:
    """Steps of Hugging Face's prefix constraint over a trie of dictionaries against ours: the sum over four levels.

    Theirs is the mask alone; ours is the whole step, top-k included.
    """
    from transformers import PrefixConstrainedLogitsProcessor

    words, layout = catalogue(sizes.dictionary_items, codes, 4)
    rows = sorted_codes(words, layout).astype(np.int64)
    index, trie = StaticIndex.build(rows, layout.level_sizes), DictTrie(rows, codes)
    processor = PrefixConstrainedLogitsProcessor(trie.prefix_function(0), num_beams=sizes.beams)
    logprobs = draw(sizes, codes, 4)[1][0]
    prefixes = torch.empty(sizes.batch, sizes.beams, 0, dtype=torch.long)
    states, scores = torch.zeros(sizes.batch, 1).long(), torch.zeros(sizes.batch, 1)
    mine, theirs = [], []
    for level, line in enumerate(logprobs):
        beams, full = Frontier(level, states, scores), line.expand(-1, sizes.beams, -1).reshape(-1, codes)
        ids = prefixes.flatten(0, 1)
        times = interleaved(
            {
                "ours": lambda _, beams=beams, line=line: index.top_candidates(beams, line, sizes.beams),
                "theirs": lambda _, ids=ids, full=full: processor(ids, full),
            },
            sizes.repeats,
        )
        found = index.top_candidates(beams, line, sizes.beams)
        parents = found.parents if level else torch.zeros_like(found.parents)
        kept = prefixes.gather(1, parents[..., None].expand(-1, -1, level))
        prefixes = torch.cat([kept, found.codes[..., None]], dim=2)
        states, scores = found.states, found.scores
        mine.append(middle(times)["ours"])
        theirs.append(middle(times)["theirs"])
    by_level = {f"level_{level}": b / a for level, (a, b) in enumerate(zip(mine, theirs, strict=True))}
    steps = {"ours_ms_per_step": 1e3 * statistics.mean(mine), "dict_trie_ms_per_step": 1e3 * statistics.mean(theirs)}
    return sum(theirs) / sum(mine), {**steps, **by_level}


def others(sizes: Sizes) -> dict[str, Any]:
    """Whole searches of the slower rivals on four levels of the larger codebook, milliseconds by number of items."""
    codes = sizes.codes[-1]
    logprobs = draw(sizes, codes, 4)[1][0]
    found: dict[str, dict[str, float]] = {"dict_trie": {}, "binary_search": {}, "bitmap": {}}
    passed: dict[str, dict[str, float]] = {}
    for count in sizes.items:
        words, layout = catalogue(count, codes, 4)
        rows = sorted_codes(words, layout).astype(np.int64)
        rivals: dict[str, PrefixMask] = {
            "binary_search": SortedRows(rows, layout.level_sizes),
            "bitmap": HashedPrefixes(rows, codes, int(count).bit_length() + 4),
        }
        if count <= sizes.dictionary_items:
            rivals["dict_trie"] = DictTrie(rows, codes)
        for name, rival in rivals.items():
            times = interleaved({name: lambda _, rival=rival: masked_search(rival, logprobs, sizes.beams)}, 1)
            found[name][str(count)] = 1e3 * middle(times)[name]
        ends = masked_search(rivals["bitmap"], logprobs, sizes.beams)
        passed[str(count)] = _passed(rivals["bitmap"], rivals["binary_search"], ends, torch.from_numpy(rows[:200, :-1]))
    return {**found, "bitmap_invalid": passed, "grammar": grammar(sizes)}


def _passed(bitmap: PrefixMask, truth: PrefixMask, found: Found, prefixes: torch.Tensor) -> dict[str, float]:
    """What a bitmap lets pass: the share of found items that are none, and of wrong last codes behind real prefixes."""
    rows = found.codes.flatten(0, 1)
    real = truth.allowed(rows[:, :-1]).gather(1, rows[:, -1:])
    wrong = ~truth.allowed(prefixes)
    return {
        "of_found_items": 1 - real.float().mean().item(),
        "of_wrong_codes": bitmap.allowed(prefixes)[wrong].float().mean().item(),
    }


def grammar(sizes: Sizes) -> dict[str, Any]:
    """Seconds to compile a choice grammar, and milliseconds of one mask for all beams."""
    from importlib.util import find_spec

    if find_spec("xgrammar") is None:
        return {"skipped": "xgrammar is not installed; it comes with the vllm extra"}
    from agentrec.testing.decoding_rivals.grammar import ChoiceGrammar

    ChoiceGrammar(np.zeros((1, 1), np.int64), 1)  # imports
    figures = {}
    for count in sizes.grammar_items:
        words, layout = catalogue(count, 256, 4)
        rows = sorted_codes(words, layout)
        made: list[ChoiceGrammar] = []
        compiling = seconds(lambda rows=rows, made=made: made.append(ChoiceGrammar(rows, 256)))
        prefixes = torch.from_numpy(rows[: sizes.batch * sizes.beams, :2].astype(np.int64))
        step = interleaved({"step": lambda _, made=made, prefixes=prefixes: made[0].allowed(prefixes)}, 3)
        figures[str(count)] = {"compile_s": compiling, "step_ms": 1e3 * middle(step)["step"]}
    return figures


def section(sizes: Sizes, threads: tuple[int, ...]) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures by name, and what lies behind them."""
    torch.set_num_threads(threads[0])
    speedups, steps = {}, {}
    for codes in sizes.codes:
        print(f"search: a dictionary trie, {codes} codes", file=sys.stderr)
        speedups[codes], steps[str(codes)] = prefix_function(sizes, codes)
    slower = others(sizes)
    figures, detail = grid(sizes, threads)
    figures["speedup_vs_dict_trie"] = min(speedups.values())
    return figures, {**detail, "steps_against_prefix_function": steps, "others_ms": slower}
