"""Fits power laws and sums of shared costs to measured costs. Pure."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from operator import mul

Points = Sequence[tuple[float, float]]
"""(x, y), ascending, both above 0."""

FLAT, LINEAR = 0.1, 1.1
"""Highest exponents of flat and linear costs, with the precision of measurements."""

_LAST = 100.0
"""Only points within this factor of the largest x are fitted: below, constant costs dominate."""
_LEAST = 3
_SINGULAR = 1e-15


def exponent(points: Points) -> float:
    """The k of the best fit y ~ x^k for large x; 0 for a single point."""
    large = [one for one in points if one[0] * _LAST >= points[-1][0]]
    chosen = large if len(large) >= _LEAST else list(points[-_LEAST:])
    across, up = [math.log(x) for x, _ in chosen], [math.log(y) for _, y in chosen]
    mean_x, mean_y = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - mean_x) ** 2 for x in across)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(across, up, strict=True)) / spread if spread else 0.0


def called(power: float) -> str:
    if power <= FLAT:
        return "flat"
    if power < 2 - LINEAR:
        return "less than linear"
    return "linear" if power <= LINEAR else "worse than linear"


def crossings(first: Points, second: Points) -> Iterator[float]:
    """The x at which the curves cross; both have the same x values. Interpolates linearly on logarithmic scales."""
    gaps = [(x, math.log(y / z)) for (x, y), (_, z) in zip(first, second, strict=True)]
    for (x, gap), (following, next_gap) in pairwise(gaps):
        if gap * next_gap < 0:
            share = gap / (gap - next_gap)
            yield math.exp(math.log(x) + share * math.log(following / x))


def fitted(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """The coefficients, none below 0, with which each row yields its value (above 0), with the least sum of squared
    relative errors. Few columns: each choice of columns is tried."""
    width = len(rows[0])
    relative = [[cell / value for cell in row] for row, value in zip(rows, values, strict=True)]
    chosen = [columns for size in range(1, width + 1) for columns in combinations(range(width), size)]
    found = [_spread(_normal_solution(relative, columns), columns, width) for columns in chosen]
    valid = [one for one in found if min(one) >= 0]
    return min(valid, key=lambda one: sum((sum(map(mul, one, row)) - 1) ** 2 for row in relative))


def _normal_solution(rows: Sequence[Sequence[float]], columns: Sequence[int]) -> list[float]:
    """Least squares for the value 1 of each row, by these columns; zeros if the columns depend on each other."""
    matrix = [[*(sum(row[i] * row[j] for row in rows) for j in columns), sum(row[i] for row in rows)] for i in columns]
    for step in range(len(columns)):
        pivot = max(range(step, len(columns)), key=lambda number: abs(matrix[number][step]))
        matrix[step], matrix[pivot] = matrix[pivot], matrix[step]
        if abs(matrix[step][step]) < _SINGULAR:
            return [0.0] * len(columns)
        for number, line in enumerate(matrix):
            if number != step:
                factor = line[step] / matrix[step][step]
                matrix[number] = [cell - factor * other for cell, other in zip(line, matrix[step], strict=True)]
    return [line[-1] / line[number] for number, line in enumerate(matrix)]


def _spread(coefficients: Sequence[float], columns: Sequence[int], width: int) -> list[float]:
    by_column = dict(zip(columns, coefficients, strict=True))
    return [by_column.get(column, 0.0) for column in range(width)]
