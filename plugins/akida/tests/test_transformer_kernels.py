"""Kernels of transformer layers in every simulator against their definition in fractions and Python's integers."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from akida_layers import run
from hypothesis import given, settings
from hypothesis import strategies as st

import rational
from quaint.numerics import IntType

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = np.ndarray[Any, np.dtype[Any]]

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)
INT8, INT16 = IntType(8, signed=True), IntType(16, signed=True)


def sat(x: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min(x, (1 << (bits - 1)) - 1))


def scaled(x: int, exponent: int, rounding: str = "floor") -> int:
    """``x * 2**exponent`` rounded."""
    return rational.round_fraction(x * Fraction(2) ** exponent, rounding)


def quantized(x: int, shift: int, bits: int) -> int:
    return sat(scaled(x, -shift, "half_up"), bits)


def nearest_log2(x: int) -> int:
    """By comparison of squares: log2(x) is nearer to n + 1 than to n where x * x > 2**(2 n + 1)."""
    below = 0
    while 2 ** (below + 1) <= x:
        below += 1
    return below + (x * x > 2 ** (2 * below + 1))


def shiftmax_row(row: Iterable[int], frac_bits: int, exp: int, buffer: int) -> list[int]:
    """As the float function has it, on fractions; what lies below the format is cut off."""
    whole = [sat(scaled(v, -frac_bits), buffer) for v in row]
    y = [n - (max(whole) - exp) for n in whole]
    e = [2 ** (v + exp) if v >= -exp else 0 for v in y]
    divisor = nearest_log2(sat(sum(e), buffer))
    return [v >> (divisor - exp) for v in e]


def draw_rows(random: np.random.Generator, shape: tuple[int, ...], dtype: IntType) -> Array:
    """A batch of random integers, and of extremes."""
    ends = random.choice([dtype.low, 0, dtype.high], shape)
    return np.concatenate([random.integers(dtype.low, dtype.high + 1, shape), ends])


@few
@given(
    seeds, st.integers(-2, 12), st.sampled_from([(10, 32), (10, 22), (4, 12), (1, 32), (12, 26)]), st.integers(1, 40)
)
def test_shiftmax(seed: int, frac_bits: int, widths: tuple[int, int], tokens: int) -> None:
    x = draw_rows(np.random.default_rng(seed), (2, 3, tokens), INT16)
    exp, buffer = widths
    attributes = {"frac_bits": frac_bits, "exp_bits": exp, "buffer_bits": buffer}
    made = run("shiftmax", [x], INT16, {}, attributes)
    truth = [[shiftmax_row(row.tolist(), frac_bits, exp, buffer) for row in batch] for batch in x]
    np.testing.assert_array_equal(made, truth)


def test_shiftmax_is_the_pseudo_softmax() -> None:
    """Equal scores of a power of two in number: each gets its exact share."""
    made = run("shiftmax", [np.zeros((1, 1, 8), np.int64)], INT8, {}, {"frac_bits": 3})
    np.testing.assert_array_equal(made, np.full((1, 1, 8), 1024 // 8))


def attention_row(q: list[list[int]], k: list[list[int]], v: list[list[int]], a: dict[str, int]) -> list[list[int]]:
    """One sample and one head: lists of tokens."""
    out = []
    for query in q:
        scores = [sat(sum(x * y for x, y in zip(query, key, strict=True)), a["buffer_bits"]) for key in k]
        shifted = [scaled(score, -a["score_shift"]) for score in scores]
        mask = shiftmax_row(shifted, a["frac_bits"], a["exp_bits"], a["buffer_bits"])
        sums = [sum(m * value[c] for m, value in zip(mask, v, strict=True)) for c in range(len(v[0]))]
        out.append([quantized(sat(total, a["buffer_bits"]), a["output_shift"], a["output_bits"]) for total in sums])
    return out


@few
@given(seeds, st.sampled_from([(1, 4), (2, 3), (4, 2)]), st.integers(1, 6), st.data())
def test_attention(seed: int, split: tuple[int, int], tokens: int, draw: st.DataObject) -> None:
    heads, dim = split
    random = np.random.default_rng(seed)
    q, k, v = (draw_rows(random, (1, tokens, heads * dim), INT8) for _ in range(3))
    attributes = {
        "heads": heads,
        "score_shift": draw.draw(st.integers(0, 3)),
        "frac_bits": draw.draw(st.integers(0, 14)),
        "output_shift": draw.draw(st.integers(2, 12)),
        "output_bits": draw.draw(st.sampled_from([4, 8, 16])),
        "exp_bits": draw.draw(st.sampled_from([4, 10])),
        "buffer_bits": draw.draw(st.sampled_from([22, 32])),
    }
    made = run("attention", [q, k, v], INT8, {}, attributes)
    for sample in range(len(q)):
        for head in range(heads):
            part = slice(head * dim, (head + 1) * dim)
            truth = attention_row(*(x[sample][:, part].tolist() for x in (q, k, v)), attributes)
            np.testing.assert_array_equal(made[sample][:, part], truth)


@few
@given(seeds, st.integers(1, 12), st.sampled_from([8, 14, 22]), st.sampled_from([24, 32]), st.integers(0, 20))
def test_layer_mad_normalization(seed: int, channels: int, bits: int, buffer: int, shift: int) -> None:
    random = np.random.default_rng(seed)
    x = draw_rows(random, (2, 3, channels), INT8)
    gamma = random.integers(-(1 << bits), 1 << bits, channels)
    beta = random.integers(-(1 << bits), 1 << bits, channels)
    attributes = {"output_shift": shift, "output_bits": 8, "buffer_bits": buffer}
    made = run("layer_mad_normalization", [x], INT8, {"gamma": gamma, "beta": beta}, attributes)
    for place in np.ndindex(*x.shape[:2]):
        row = x[place].tolist()
        deviation = sum(map(abs, row)) or 1
        factors = [rational.round_fraction(Fraction(int(g), deviation), "floor") for g in gamma]
        sums = [sat(sat(v * p, buffer) + int(b), buffer) for v, p, b in zip(row, factors, beta, strict=True)]
        np.testing.assert_array_equal(made[place], [quantized(total, shift, 8) for total in sums])


@few
@given(seeds, st.integers(0, 10), st.integers(-2, 12), st.sampled_from([12, 32]))
def test_learned_tokens(seed: int, input_shift: int, shift: int, buffer: int) -> None:
    random = np.random.default_rng(seed)
    x = draw_rows(random, (2, 3, 4), INT8)
    attributes = {"input_shift": input_shift, "output_shift": shift, "output_bits": 8, "buffer_bits": buffer}
    learned = random.integers(-2000, 2000, (1, 3, 4))
    added = run("add_position_embs", [x], INT8, {"embeddings": learned}, attributes)
    joined = run("class_token", [x], INT8, {"token": learned[0, 0]}, attributes)
    assert joined.shape == (4, 4, 4)
    for n, t, c in np.ndindex(*x.shape):
        aligned = sat(int(x[n, t, c]) << input_shift, buffer)
        assert added[n, t, c] == quantized(sat(aligned + int(learned[0, t, c]), buffer), shift, 8)
        assert joined[n, t + 1, c] == quantized(aligned, shift, 8)
        assert joined[n, 0, c] == quantized(int(learned[0, 0, c]), shift, 8)


def test_extract_token() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(run("extract_token", [x], INT8, {}, {"token": 1}), x[:, 1])
    kept = run("extract_token", [x], INT8, {}, {"token": 2, "squeeze": False})
    np.testing.assert_array_equal(kept, x[:, 2:])
