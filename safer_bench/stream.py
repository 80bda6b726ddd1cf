"""The random stream of one probe: Philox words turned into numbers by arithmetic that every IEEE 754 machine does alike.

``np.log``, ``np.exp`` and ``**`` differ in their last bit between instruction sets, so nothing here uses them: only raw
words, ``+ - * /``, ``sqrt`` and exact sums (hence independent of order and library).
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray

# Wichura 1988, algorithm AS 241 (PPND16): rational approximations of the normal quantile, highest power first.
CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
NEAR_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip
LN2 = 0.6931471805599453
LARGEST_SPLIT = 2.0**1000  # what the exact sum's first unit does not overflow with
BLOCK = 16384  # numbers made at a time: they stay in the processor's cache


class Stream:
    """A reproducible stream of random numbers, named by what it is for.

    Args:
        key: what the stream belongs to, such as (seed, network, layer, perturbation, level, draw); any values whose
            ``repr`` is stable. Equal keys give equal streams, on any machine.
    """

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("\x1f".join(repr(part) for part in key).encode()).digest()
        words = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
        self._philox = np.random.Philox(key=words)

    def words(self, shape: tuple[int, ...]) -> Array:
        """Return raw 64-bit words, uint64 of ``shape``, in C order."""
        return np.asarray(self._philox.random_raw(math.prod(shape)), dtype=np.uint64).reshape(shape)

    def _each(self, number: Callable[[Array], Array], shape: tuple[int, ...], kind: type) -> Array:
        """Return numbers of ``shape``, in C order: what ``number`` makes of one word each."""
        result: Array = np.empty(math.prod(shape), kind)
        for start in range(0, result.size, BLOCK):
            block = result[start : start + BLOCK]
            block[:] = number(self.words(block.shape))
        return result.reshape(shape)

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, uniform in (0, 1): the upper 52 bits of a word, centred in their cell."""
        return self._each(_uniform, shape, np.float64)

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, standard normal: the quantile (AS 241) of one uniform each."""
        return self._each(lambda words: normal_quantile(_uniform(words)), shape, np.float64)

    def bernoulli(self, probability: float, shape: tuple[int, ...]) -> Array:
        """Return bool of ``shape``, true with ``probability``: where one uniform each is below it."""
        n_below = _n_cells_below(probability)
        return self._each(lambda words: _cells(words) < n_below, shape, np.bool_)

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, -1 or 1 with equal probability."""
        return np.where(self.bernoulli(0.5, shape), -1.0, 1.0)

    def permutation(self, n: int) -> Array:
        """Return a random permutation of ``range(n)``, int64 ``(n,)``."""
        return np.argsort(self.words((n,)), kind="stable")

    def sample(self, n: int, k: int) -> Array:
        """Return k distinct numbers of ``range(n)``, int64 ``(min(k, n),)``: the first ones of a permutation."""
        words = self.words((n,))
        enough = k + 10.0 * math.sqrt(k) + 10.0  # so many of the smallest words hold the first k but in one case of 1e9
        likely = np.flatnonzero(_cells(words) < _n_cells_below(enough / n))
        if likely.size < k:
            return np.argsort(words, kind="stable")[:k]
        return likely[np.argsort(words[likely], kind="stable")[:k]]


def _n_cells_below(probability: float) -> int:
    """Return how many of the 2^52 uniforms (2k + 1) * 2^-53 are below ``probability``, exactly; none where it is NaN."""
    odd = min(max(0.0, probability), 1.0) * 2.0**53
    return math.ceil((odd - 1.0) / 2.0)


def _cells(words: Array) -> Array:
    return words >> np.uint64(12)


def _uniform(words: Array) -> Array:
    return (_cells(words).astype(np.float64) + 0.5) * 2.0**-52


def normal_quantile(p: Array) -> Array:
    """Return the standard normal quantile of ``p`` in (0, 1), to about 1e-15 relative.

    Source: Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution".
    """
    q = p - 0.5
    result = q * _ratio(CENTRE, 0.180625 - q * q)
    tail = np.abs(q) > 0.425
    r = np.sqrt(-log(np.minimum(p[tail], 1.0 - p[tail])))
    value = np.where(r <= 5.0, _ratio(NEAR_TAIL, r - 1.6), _ratio(FAR_TAIL, r - 5.0))
    result[tail] = np.where(q[tail] < 0.0, -value, value)
    return result


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (row[0] * x for row in coefficients)
    for a, b in zip(coefficients[0][1:-1], coefficients[1][1:-1], strict=True):
        above += a
        above *= x
        below += b
        below *= x
    return (above + coefficients[0][-1]) / (below + coefficients[1][-1])


def log(x: Array) -> Array:
    """Return the natural logarithm of positive ``x`` by the atanh series, to about 1e-15 relative; same bits everywhere."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.7071067811865476
    mantissa, exponent = np.where(low, 2.0 * mantissa, mantissa), exponent - low
    t = (mantissa - 1.0) / (mantissa + 1.0)
    t2, series = t * t, np.zeros_like(t)
    for k in range(21, 0, -2):
        series = series * t2 + 1.0 / k
    return 2.0 * t * series + exponent * LN2


def rms(values: Array) -> float:
    """Return sqrt(mean(values^2)), exactly summed."""
    return math.sqrt(exact_sum(values * values) / values.size)


def norm(values: Array, p: float) -> float:
    """Return the p-norm of all entries for p = 2 (exactly summed) or p = inf."""
    if p == math.inf:
        return float(np.max(np.abs(values)))
    return math.sqrt(exact_sum(values * values))


def exact_sum(values: Array) -> float:
    """Return the sum of all entries of an array that is not empty, rounded once: ``math.fsum``, sooner."""
    flat = values.ravel()
    blocks = (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))
    return math.fsum(part for block in blocks for part in _parts(block))


def _parts(values: Array) -> list[float]:
    """Return a few numbers of the same exact sum: the sum of the highest bits of all values, then of the next, not rounded.

    Source: Rump, Ogita, Oishi 2008, "Accurate floating-point summation part I: faithful rounding", algorithm 3.2.
    """
    parts: list[float] = []
    while largest := float(np.max(np.abs(values))):
        if not largest < LARGEST_SPLIT:
            return parts + values.tolist()
        unit = math.ldexp(1.0, math.frexp(largest)[1] + values.size.bit_length())
        high = (values + unit) - unit
        parts.append(float(high.sum()))
        values = values - high
    return parts


def smallest(values: Array, k: int) -> Array:
    """Return the flat indices of the k smallest entries, int64 ``(min(k, n),)``; ties fall to the lowest index.

    NaN are the largest. The indices come in no order.
    """
    flat = values.ravel()
    if not 0 < k < flat.size:
        return np.arange(min(k, flat.size))
    limit = np.partition(flat, k - 1)[k - 1]
    if np.isnan(limit):
        return np.argsort(flat, kind="stable")[:k]
    below, ties = np.flatnonzero(flat < limit), np.flatnonzero(flat == limit)
    return np.concatenate([below, ties[: k - below.size]])
