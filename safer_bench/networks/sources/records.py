"""What a source of data gives, and what a source of networks takes it by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

Kind = Literal["images", "texts", "inputs"]


@dataclass(frozen=True, slots=True)
class Records:
    """Examples of a source, each read when it is asked for.

    Attributes:
        where: the source, for messages.
        kind: ``images`` (of PIL), ``texts`` (one, or a pair), or ``inputs`` that a model takes as they are.
        n: how many there are.
        item: reads one, by its number from 0; of inputs none.
        title: what an example is called in messages, by its number.
        labels: numbers of classes, or their names; None where there are none.
        classes: names of the classes, where labels are numbers of them; None where they are not known.
        inputs: inputs and labels of all examples, as a network takes them, where they are ready.
    """

    where: str
    kind: Kind
    n: int
    item: Callable[[int], Any]
    title: Callable[[int], str]
    labels: Sequence[Any] | None = None
    classes: tuple[str, ...] | None = None
    inputs: tuple[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A model of a source, ready to be measured, with what turns records into its inputs.

    Attributes:
        model: in evaluation mode, float32.
        where: the source and name, for messages.
        reads: what it takes.
        prepare: turns items, each read when it is called, into inputs; given their titles.
        n_classes: of its head; None where labels are no classes of the data, as for a language model.
        class_names: names of its classes, in every way that is known: a list for each.
        labels_of: makes labels of inputs, where the inputs hold them.
        class_axis: of its logits.
        output: takes the logits out of what it returns, where that is special.
        family: of the architecture.
        licence: of the weights, where it is known.
        notes: what there is to say of it.
    """

    model: nn.Module
    where: str
    reads: Kind
    prepare: Callable[[Sequence[Callable[[], Any]], Sequence[str]], Any]
    n_classes: int | None
    class_names: tuple[tuple[str, ...], ...] = ()
    labels_of: Callable[[Any], Tensor] | None = None
    class_axis: int = 1
    output: Callable[[Any], Any] | None = None
    family: str = "own"
    licence: str = ""
    notes: tuple[str, ...] = ()
