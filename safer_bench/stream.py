"""The random stream of one probe: Philox words turned into numbers by arithmetic that every IEEE 754 machine does alike.

``np.log``, ``np.exp`` and ``**`` differ in their last bit between instruction sets, so nothing here uses them: only raw
words, ``+ - * /``, ``sqrt`` and ``math.fsum`` (exact, hence independent of order and library).
"""

import hashlib
import math

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

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, uniform in (0, 1): the upper 52 bits of a word, centred in their cell."""
        return ((self.words(shape) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def normal(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, standard normal: the quantile (AS 241) of one uniform each."""
        return normal_quantile(self.uniform(shape))

    def bernoulli(self, probability: float, shape: tuple[int, ...]) -> Array:
        """Return bool of ``shape``, true with ``probability``; one uniform each."""
        return self.uniform(shape) < probability

    def signs(self, shape: tuple[int, ...]) -> Array:
        """Return float64 of ``shape``, -1 or 1 with equal probability."""
        return np.where(self.bernoulli(0.5, shape), -1.0, 1.0)

    def permutation(self, n: int) -> Array:
        """Return a random permutation of ``range(n)``, int64 ``(n,)``."""
        return np.argsort(self.words((n,)), kind="stable")


def normal_quantile(p: Array) -> Array:
    """Return the standard normal quantile of ``p`` in (0, 1), to about 1e-15 relative.

    Source: Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution".
    """
    q = p - 0.5
    central = np.abs(q) <= 0.425
    result = np.empty_like(q)
    result[central] = q[central] * _ratio(CENTRE, 0.180625 - q[central] * q[central])
    tail = ~central
    r = np.sqrt(-log(np.minimum(p[tail], 1.0 - p[tail])))
    value = np.where(r <= 5.0, _ratio(NEAR_TAIL, r - 1.6), _ratio(FAR_TAIL, r - 5.0))
    result[tail] = np.where(q[tail] < 0.0, -value, value)
    return result


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (np.full_like(x, row[0]) for row in coefficients)
    for a, b in zip(coefficients[0][1:], coefficients[1][1:], strict=True):
        above, below = above * x + a, below * x + b
    return above / below


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
    return math.sqrt(math.fsum((values * values).ravel()) / values.size)


def norm(values: Array, p: float) -> float:
    """Return the p-norm of all entries for p = 2 (exactly summed) or p = inf."""
    if p == math.inf:
        return float(np.max(np.abs(values)))
    return math.sqrt(math.fsum((values * values).ravel()))
