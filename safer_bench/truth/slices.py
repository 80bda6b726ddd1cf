"""Which evaluation examples a draw sees; measuring and reading go by the same rule."""

EXAMPLES = 60  # that a draw of a random perturbation sees, unless another number is asked for

Slice = tuple[int, int]  # first example, number of examples


def slice_of(draw: int, n_examples: int | None, total: int) -> Slice:
    """Return the slice of a draw: draw d sees slice d modulo the number of whole slices.

    Args:
        draw: its number, from 0.
        n_examples: of a slice, at most; all where None.
        total: evaluation examples of the network, at least one.

    >>> slice_of(3, 60, 7500), slice_of(3, 60, 150), slice_of(3, 60, 45)
    ((180, 60), (60, 60), (0, 45))
    """
    size = total if n_examples is None else min(n_examples, total)
    return draw % (total // size) * size, size
