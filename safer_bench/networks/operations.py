"""The operations of a pass, handed on one by one."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Sees every operation within the block; those that torch composes of others are taken apart first."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # within inference mode operations come as they were called
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        result = func(*args, **kwargs)
        self._watch(func, dict(zip((item.name for item in func._schema.arguments), args, strict=False)) | kwargs, result)
        return result

    def _watch(self, func: Any, given: dict[str, Any], result: Any) -> None:
        """Take notice of an operation, what it was given by the names of its arguments, and what came of it."""
        raise NotImplementedError
