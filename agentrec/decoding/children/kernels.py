"""The best children of a set of beams, compiled by numba: `best_children`, and the few steps it is made of.

Few children are simply all looked at. Many are cut into blocks: a first, vectorised look takes the largest number of
every block, the k-th largest of those bounds the k-th best child from below, and only the blocks that reach the bound
are looked at child by child. What the first look sees may include codes that are not allowed; if too few children are
found because of that, the bound is lowered. There is no heap, and no list of candidates longer than a few k.

Numbers are compared as integers in the order of the floats they encode, which compilers vectorise without a promise
about NaN. Inner loops run over whole slices or by unsigned indexes for the same reason: they cannot wrap around.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agentrec.core.errors import require

require("numba", "train")

from numba import njit  # noqa: E402 - after the sentence that says which extra brings it

from agentrec.decoding.index.kernels import BLOCK_BITS  # noqa: E402

FITS, NAN = 0, 1
LOWEST = np.float32(np.finfo(np.float32).min)  # below it there is only -inf
LOWEST_KEY = np.int32(-0x7F800000)  # of LOWEST, see `ordered`
INFINITE = np.int32(0x7F800000)  # bits of +inf; above it lie the bits of what is not a number
ROOM = 4  # hits there is room for, per wanted child
FEW = 40  # children per wanted one, up to which all are looked at
BLOCKS = 8  # blocks per wanted child, if they have the sizes to be had
SMALLEST, LARGEST = 32, 128  # children in a block
LINE, FETCHED = 32, 256  # codes per cache line, at least; codes of a beam that are fetched ahead
GAPS = 3  # a block whose codes span no more than this many per child is read straight through


@njit(cache=True, nogil=True, inline="always")
def ordered(bits: Any) -> Any:
    """Bits of a float32 -> int32 in the order of the floats; its own inverse."""
    return np.int32(bits ^ np.int32((bits >> 31) & 0x7FFFFFFF))


@njit(cache=True, nogil=True)
def _straight(columns: Any) -> Any:
    """The first column if all follow it one by one, else -1."""
    for code in range(len(columns)):
        if columns[code] != columns[0] + code:
            return np.int64(-1)
    return np.int64(columns[0])


@njit(cache=True, nogil=True)
def _spans(states: Any, scores: Any, offsets: Any, tokens: Any, spans: Any) -> int:
    """Number, first and last edge of each beam, written; their number, or -1 where a score is not a number.

    All loads of a loop are independent, so that a level too large for any cache costs one delay and not M. The second
    loop only fetches codes.
    """
    base, small = offsets
    total = 0
    for beam in range(len(states)):
        state, score = states[beam], scores[beam]
        start = end = 0
        if state >= 0 and score != -np.inf:
            start = state + base[state >> BLOCK_BITS] + small[state]
            end = state + 1 + base[(state + 1) >> BLOCK_BITS] + small[state + 1]
            if score != score and end > start:
                return -1
        spans[0, beam], spans[1, beam], spans[2, beam] = beam, start, end
        total += end - start
    fetched = 0
    for beam in range(len(states)):
        for edge in range(spans[1, beam], min(spans[2, beam], spans[1, beam] + FETCHED), LINE):
            fetched ^= tokens[edge]
    spans[3, 0] = fetched
    return total


@njit(cache=True, nogil=True)
def largest_of_run(bits: Any) -> Any:
    """Largest number, as a key; +inf if one is not a number."""
    best, far = np.int32(-(2**31)), np.int32(0)
    for i in range(len(bits)):
        best = max(best, ordered(bits[i]))
        far = max(far, np.int32(bits[i] & 0x7FFFFFFF))
    return INFINITE if far > INFINITE else best


@njit(cache=True, nogil=True)
def _largest_of_codes(bits: Any, columns: Any, codes: Any) -> Any:
    """`largest_of_run`, of some columns."""
    best, far = np.int32(-(2**31)), np.int32(0)
    for i in range(len(codes)):
        number = bits[np.uint64(columns[np.uint64(codes[i])] if len(columns) else codes[i])]
        best = max(best, ordered(number))
        far = max(far, np.int32(number & 0x7FFFFFFF))
    return INFINITE if far > INFINITE else best


@njit(cache=True, nogil=True)
def _kth(keys: Any, k: int, slack: int) -> Any:
    """A key that k of these reach, and not more than k + slack unless they are equal: by bisection."""
    low, high = np.int32(2**31 - 1), np.int32(-(2**31))
    for i in range(len(keys)):
        low, high = min(low, keys[i]), max(high, keys[i])
    least, most = np.int64(low), np.int64(high)
    while least < most:
        middle = least + (most - least + 1) // 2
        bound, count = np.int32(middle), np.int32(0)
        for i in range(len(keys)):
            count += np.int32(keys[i] >= bound)
        if count < k:
            most = middle - 1
            continue
        least = middle
        if count <= k + slack:
            break
    return np.int32(least)


@njit(cache=True, nogil=True)
def _keep(hits: Any, count: int, k: int) -> int:
    """Drop hits that are not among the k best, but for a few; the rest stays in order, and the floor rises.

    Returns:
        How many are left.
    """
    values, bits, beams, codes, edges, keys, floor = hits
    if count <= k + k // 4:
        return count
    for i in range(count):
        keys[i] = ordered(bits[i])
    bound = _kth(keys[:count], k, k // 4)
    above = reach = 0
    for i in range(count):
        above += keys[i] > bound
        reach += keys[i] >= bound
    equal = k - above if reach > k + k // 4 else reach
    kept = 0
    for i in range(count):
        tie = keys[i] == bound
        if keys[i] > bound or (tie and equal > 0):
            equal -= tie
            values[kept], beams[kept], codes[kept], edges[kept] = values[i], beams[i], codes[i], edges[i]
            kept += 1
    floor.view(np.int32)[0] = ordered(bound)
    return kept


@njit(cache=True, nogil=True)
def _take(parts: Any, lines: Any, trie: Any, hits: Any, k: int) -> int:
    """Collect the allowed children that reach the floor; of more than there is room for, the best.

    Args:
        parts: beam (n,), first and last edge (n,) of what is looked at; by beam and edge.
        lines: scores (M,), all log-probabilities flat, where those of a beam's code 0 lie (M,) uint64, and columns.
        trie: as `best_children` has it, with ``barred`` of this row.
        hits: as `_room` makes them; written.
        k: how many are wanted.

    Returns:
        How many hits there are, -1 if a child's score is not a number.
    """
    of, firsts, lasts = parts
    scores, flat, places, columns = lines
    tokens, items, allowed, barred = trie
    values, _, beams, codes, edges, _, lowest = hits
    count, floor, room = 0, lowest[0], len(values)
    for part in range(len(of)):
        beam = of[part]
        score, place = scores[beam], places[beam]
        for edge in range(firsts[part], lasts[part]):
            code = tokens[edge]
            value = score + flat[place + np.uint64(columns[code] if len(columns) else code)]
            if value < floor:
                continue
            if value != value:
                return -1
            if len(allowed) and not (allowed[edge >> 3] >> np.uint8(edge & 7)) & np.uint8(1):
                continue
            taken = False
            for x in range(len(barred)):
                taken |= barred[x] == items[edge]
            if taken:
                continue
            if count == room:
                count = _keep(hits, count, k)
                floor = lowest[0]
            values[count], beams[count], codes[count], edges[count] = value, beam, code, edge
            count += 1
    return count


@njit(cache=True, nogil=True)
def _blocks(lines: Any, tokens: Any, parts: Any, size: int) -> Any:
    """Cut all children into blocks.

    Returns:
        Beams, first and last edges of blocks, (n,) each; their best possible scores as keys (n,); how many codes were
        read.
    """
    scores, flat, places, columns = lines
    of, starts, ends = parts
    room = 0
    for beam in of:
        room += (ends[beam] - starts[beam] + size - 1) // size
    beams, firsts, lasts = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    peaks = np.empty(room, np.float32)
    keys, bits, count, read = peaks.view(np.int32), flat.view(np.int32), 0, np.int64(0)
    for beam in of:
        score, place, end = scores[beam], np.int64(places[beam]), ends[beam]
        for first in range(starts[beam], end, size):
            last = min(first + size, end)
            low, high = np.int64(tokens[first]), np.int64(tokens[last - 1]) + 1
            if not len(columns) and high - low <= GAPS * (last - first):
                best = largest_of_run(bits[place + low : place + high])
                read += high - low
            else:
                best = _largest_of_codes(bits[place:], columns, tokens[first:last])
                read += last - first
            keys[count] = ordered(best)
            peaks[count] += score
            beams[count], firsts[count], lasts[count] = beam, first, last
            count += 1
    for i in range(room):
        keys[i] = ordered(keys[i])
    return (beams, firsts, lasts), keys, read


@njit(cache=True, nogil=True)
def _reaching(parts: Any, keys: Any, bound: Any) -> Any:
    """The parts whose key reaches a bound."""
    beams, firsts, lasts = parts
    count = 0
    for i in range(len(keys)):
        count += keys[i] >= bound
    found = np.empty((3, count), np.int64)
    at = 0
    for i in range(len(keys)):
        if keys[i] >= bound:
            found[0, at], found[1, at], found[2, at] = beams[i], firsts[i], lasts[i]
            at += 1
    return found[0], found[1], found[2]


@njit(cache=True, nogil=True)
def _search(lines: Any, trie: Any, parts: Any, hits: Any, ask: Any) -> int:
    """The k best children of parts as hits, and a few more; how many, -1 if one is not a number."""
    k, total = ask
    floor = hits[-1]
    floor[0] = LOWEST
    count: int
    if total <= FEW * k:
        count = _take(parts, lines, trie, hits, k)
        return count
    size = min(max(total // (BLOCKS * k), SMALLEST), LARGEST)
    blocks, keys, read = _blocks(lines, trie[0], parts, size)
    wanted = k * (read + total) // (2 * total)  # some codes are not allowed, some blocks hold several
    while True:
        bound = LOWEST_KEY
        if wanted < len(keys):
            bound = max(bound, _kth(keys, wanted, wanted // 8))
        floor.view(np.int32)[0] = ordered(bound)
        count = _take(_reaching(blocks, keys, bound), lines, trie, hits, k)
        if count < 0 or count >= k or bound == LOWEST_KEY:
            return count
        wanted *= 2


@njit(cache=True, nogil=True)
def _sort(numbers: Any) -> None:
    """Sort a few numbers in place, by Shell's method: numba needs seconds to compile its own."""
    gap = len(numbers)
    while gap > 1:
        gap = max(1, gap * 5 // 11)
        for i in range(gap, len(numbers)):
            number, at = numbers[i], i
            while at >= gap and numbers[at - gap] > number:
                numbers[at] = numbers[at - gap]
                at -= gap
            numbers[at] = number


@njit(cache=True, nogil=True)
def _ranked(hits: Any, count: int, k: int, items: Any, out: Any) -> None:
    """Write the best k hits in order: by score, then as they came, which is by beam and code."""
    values, bits, beams, codes, edges, _, _ = hits
    scores, numbers = out
    ranks = np.empty(count, np.int64)
    for i in range(count):
        ranks[i] = (-np.int64(ordered(bits[i])) << 32) | i
    _sort(ranks)
    found = min(count, k)
    for place in range(found):
        i = ranks[place] & 0xFFFFFFFF
        edge = edges[i]
        scores[place], numbers[0, place], numbers[1, place] = values[i], beams[i], codes[i]
        numbers[2, place] = items[edge] if len(items) else edge
    scores[found:], numbers[:2, found:], numbers[2, found:] = -np.inf, 0, -1


@njit(cache=True, nogil=True)
def _room(most: int) -> Any:
    """Room for hits: values, the same as bits, beams, codes and edges; keys to work with; the floor they must reach."""
    values, numbers = np.empty(most, np.float32), np.empty((3, most), np.int32)
    edges, floor = np.empty(most, np.int64), np.empty(1, np.float32)
    return values, values.view(np.int32), numbers[0], numbers[1], edges, numbers[2], floor


@njit(cache=True, nogil=True)
def best_children(rows: Any, beams: Any, lines: Any, trie: Any, out: Any) -> int:
    """The k best children of the beams of each row, best first; of equal scores the lower beam, then the lower code.

    Args:
        rows: which batch rows.
        beams: states (B, M) int64, negative for dead beams; scores (B, M) float32.
        lines: log-probabilities (B, M, V) float32; where those of a code lie (K,).
        trie: tokens, base and small of the level; the item of every edge, empty above the last level; bits (E / 8,)
            uint8, which edges are allowed, empty for all; items (B, X) int64 that a row may not take.
        out: scores (B, k) float32; parents, codes and states (3, B, k) int64; written.

    Returns:
        ``NAN`` if a candidate was not a number.
    """
    states, scores = beams
    logprobs, columns = lines
    tokens, base, small, items, bits, barred = trie
    k, width = out[0].shape[1], states.shape[1]
    flat = logprobs.reshape(-1)
    shift = _straight(columns)
    if shift >= 0:
        columns = columns[:0]  # a code lies at its own number, behind the shift
    hits, spans, places = _room(ROOM * k + LARGEST), np.empty((4, width), np.int64), np.empty(width, np.uint64)
    for row in rows:
        start = scores[row] + np.float32(0)  # -0 becomes 0, so that equal scores are equal as keys
        total = _spans(states[row], start, (base, small), tokens, spans)
        if total < 0:
            return NAN
        for beam in range(width):
            places[beam] = (row * width + beam) * logprobs.shape[2] + max(shift, 0)
        parts, level = (spans[0], spans[1], spans[2]), (tokens, items, bits, barred[row])
        count = _search((start, flat, places, columns), level, parts, hits, (k, total))
        if count < 0:
            return NAN
        _ranked(hits, _keep(hits, count, k), k, items, (out[0][row], out[1][:, row]))
    return FITS
