"""Which entry of which parameter lies where in memory: in views, in copies, and in what is computed entry by entry."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

REARRANGING = {  # operations that copy entries to other places
    *("cat", "stack", "repeat", "flip", "roll", "constant_pad_nd", "index", "index_select", "gather", "take"),
    *("expand_copy", "view_copy", "permute_copy", "transpose_copy", "t_copy", "slice_copy", "select_copy", "unfold_copy"),
}
NOTHING = 0  # what lies where there is no entry


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in nested arguments or results."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def storage_of(tensor: Tensor) -> int:
    """Return what names the memory of a tensor; 0 where it has none of its own, as a sparse or a mapped one."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def holds_numbers(tensor: Tensor) -> bool:
    """Tell whether a tensor is of real or complex numbers, not of whole ones or bits."""
    return tensor.is_floating_point() or tensor.is_complex()


class Entries:
    """Numbers of the entries of some parameters, laid out as the memory they lie in: views of one are views of the other.

    Memory that was computed from several parameters, entry by entry, has several numbers for each place: levels.

    Args:
        parameters: dense ones, by name; those of one storage do not overlap.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self._names = list(parameters)
        self._first = np.cumsum([1, *(parameter.numel() for parameter in parameters.values())])
        self._owners: dict[int, list[str]] = {}  # by storage
        self._levels: dict[int, list[Tensor]] = {}  # by storage, a number for each of its elements
        self._kept: list[Tensor] = []  # what was made of parameters, so that nothing else takes its place in memory
        for name, parameter in parameters.items():
            self._owners.setdefault(storage_of(parameter), []).append(name)
        self._alone = {storage: names[0] for storage, names in self._owners.items() if len(names) == 1}

    def holds(self, tensor: Tensor) -> bool:
        """Tell whether a tensor lies in memory with entries, and holds them as numbers, not as bits."""
        return holds_numbers(tensor) and storage_of(tensor) in self._owners

    def levels(self, tensor: Tensor) -> list[Tensor]:
        """Return the numbers of the entries at each place of a tensor, in its shape; a complex place may hold two."""
        storage = storage_of(tensor)
        known = [_part(numbers, tensor) for numbers in self._levels.get(storage) or self._own_numbers(storage)]
        if not tensor.is_complex():
            return known
        pairs = [numbers.unbind(-1) for numbers in known]
        return [part for real, imaginary in pairs for part in ([real] if real.equal(imaginary) else [real, imaginary])]

    def _own_numbers(self, storage: int) -> list[Tensor]:
        """Return the numbers of a storage of parameters; not kept, since they are twice as large as the weights."""
        numbers: Tensor | None = None
        for name in self._owners[storage]:
            parameter, first = self.parameters[name], int(self._first[self._names.index(name)])
            numbers = _no_numbers(parameter) if numbers is None else numbers
            own = torch.arange(first, first + parameter.numel(), device=parameter.device)
            _part(numbers, parameter).copy_(own.view(parameter.shape))
        return [] if numbers is None else [numbers]

    def shares(self, tensor: Tensor) -> dict[str, int]:
        """Return how many places of a tensor hold an entry of each parameter; a complex number may be two."""
        storage = storage_of(tensor)
        if storage in self._alone:
            return {self._alone[storage]: tensor.numel() * (1 + tensor.is_complex())}
        found: dict[str, int] = {}
        for numbers in self.levels(tensor):
            counts = np.bincount(self._owner(numbers) + 1, minlength=1)[1:]
            for owner in np.flatnonzero(counts):
                name = self._names[owner]
                before = found.get(name, 0)
                found[name] = before + int(counts[owner]) if tensor.is_complex() else max(before, int(counts[owner]))
        return found

    def _owner(self, numbers: Tensor) -> np.ndarray:
        """Return which parameter each number is of, flat; -1 for none."""
        return np.searchsorted(self._first, numbers.flatten().cpu().numpy(), side="right") - 1

    def axes(self, name: str, tensor: Tensor, *dims: Iterable[int]) -> list[set[int]]:
        """Return for some dimensions of a tensor the axes of a parameter in it along which one moves with them."""
        owner, shape = self._names.index(name), tuple(self.parameters[name].shape)
        numbers, place = self._found(owner, self.levels(tensor))
        by_dim = []
        for dim in range(tensor.ndim):
            line = numbers[tuple(slice(None) if other == dim else at for other, at in enumerate(place))]
            entries = line.cpu().numpy()[self._owner(line) == owner] - self._first[owner]
            places = enumerate(np.unravel_index(entries, shape))
            by_dim.append({axis for axis, at in places if at.min() < at.max()})
        return [set().union(*(by_dim[dim] for dim in some)) for some in dims]

    def _found(self, owner: int, levels: Sequence[Tensor]) -> tuple[Tensor, tuple[int, ...]]:
        """Return a level with entries of a parameter, and the place of one; mostly it is the first."""
        for numbers in levels:
            if self._owner(numbers[(slice(0, 1),) * numbers.ndim])[0] == owner:
                return numbers, (0,) * numbers.ndim
        numbers = next(level for level in levels if (self._owner(level) == owner).any())
        at = int(np.argmax(self._owner(numbers) == owner))
        return numbers, tuple(int(index) for index in np.unravel_index(at, tuple(numbers.shape)))

    def follow(self, func: Any, given: dict[str, Any], result: Any) -> list[Tensor]:
        """Follow entries into what an operation made of parameters and constants alone.

        Args:
            func: the operation.
            given: its arguments by name.
            result: what it returned.

        Returns:
            Those of its arguments whose entries are in the result, each at a place of its own.
        """
        held = [tensor for tensor in tensors_in(given) if self.holds(tensor)]
        made = [tensor for tensor in tensors_in(result) if holds_numbers(tensor) and storage_of(tensor)]
        operation = func.overloadpacket.__name__
        if operation == "copy_":
            self._write(made[0], self.levels(given["src"].expand_as(made[0])) if self.holds(given["src"]) else [], held)
            return held
        if made and operation in REARRANGING:
            self._write(made[0], self._rearranged(func, given, held), held)
            return held
        return self._entry_by_entry(held, made)

    def _entry_by_entry(self, held: list[Tensor], made: list[Tensor]) -> list[Tensor]:
        kept: list[Tensor] = []
        for tensor in made:
            views = [other for other in held if storage_of(other) == storage_of(tensor)]
            mixed = [other for other in held if _same_places(other, tensor) and not any(other is view for view in views)]
            kept += views + mixed
            if mixed:
                levels = [level.reshape(tensor.shape) for other in (*views, *mixed) for level in self.levels(other)]
                self._write(tensor, levels, (*views, *mixed))
        return kept

    def _rearranged(self, func: Any, given: dict[str, Any], held: Sequence[Tensor]) -> list[Tensor]:
        """Do to the numbers what an operation does to the entries."""

        def numbers_of(tensor: Tensor, level: int) -> Tensor:
            if not holds_numbers(tensor):
                return tensor  # an index
            known = self.levels(tensor) if self.holds(tensor) else []
            return known[level] if level < len(known) else torch.zeros_like(tensor, dtype=torch.int64)

        deepest = max(len(self.levels(tensor)) for tensor in held)
        levels = [tree_map_only(Tensor, partial(numbers_of, level=level), given) for level in range(deepest)]
        return [func(**level) for level in levels]

    def _write(self, tensor: Tensor, levels: Sequence[Tensor], sources: Iterable[Tensor]) -> None:
        """Set the numbers of the entries at each place of a tensor."""
        storage = storage_of(tensor)
        owners = [name for other in sources for name in self._owners[storage_of(other)]]
        known = self._levels.setdefault(storage, self._own_numbers(storage) if storage in self._owners else [])
        known += [_no_numbers(tensor) for _ in levels[len(known) :]]
        for memory, numbers in zip(known, levels, strict=False):
            _part(memory, tensor).copy_(numbers.unsqueeze(-1) if tensor.is_complex() else numbers)
        self._owners[storage] = list(dict.fromkeys([*self._owners.get(storage, []), *owners]))
        self._alone.pop(storage, None)
        self._kept.append(tensor)


def _no_numbers(tensor: Tensor) -> Tensor:
    """Return a place for the numbers of a tensor's whole storage; a complex number lies there as two real ones."""
    n_elements = tensor.untyped_storage().nbytes() // tensor.element_size() * (1 + tensor.is_complex())
    return torch.full((n_elements,), NOTHING, dtype=torch.int64, device=tensor.device)


def _part(numbers: Tensor, tensor: Tensor) -> Tensor:
    """Return the part of a storage's numbers that a tensor is of the storage: of a complex one ``(..., 2)``."""
    if tensor.is_complex():
        stride = [2 * step for step in tensor.stride()]
        return numbers.as_strided((*tensor.size(), 2), (*stride, 1), 2 * tensor.storage_offset())
    return numbers.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def _same_places(tensor: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have one shape, axes of length one left out."""
    return [size for size in tensor.shape if size > 1] == [size for size in other.shape if size > 1]
