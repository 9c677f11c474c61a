"""A list whose items may have labels: how the inputs and outputs of a task are seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class LabeledList(MutableSequence[T], Generic[T]):
    """A list whose items may have unique labels; indexed by number, slice or label.

    `label in labeled` asks for labels; a slice is a plain list without labels. Raises KeyError for a duplicate or a
    missing label, TypeError for a label that is a number or a slice.
    """

    __slots__ = ("_items", "_labels", "_places")

    def __init__(
        self,
        items: Iterable[T] | None = None,
        labels: Iterable[str | None] | None = None,
        pairs: Iterable[tuple[str | None, T]] | None = None,
    ) -> None:
        """From items and, item by item, their labels; or from (label, item) pairs; or a copy of another LabeledList."""
        if pairs is not None:
            if items is not None or labels is not None:
                raise ValueError("A LabeledList is made from items (and labels) or from pairs, not from both.")
            taken = list(pairs)
            labels, items = [label for label, _ in taken], [item for _, item in taken]
        elif isinstance(items, LabeledList) and labels is None:
            labels = list(items._labels)
        self._items: list[T] = list(items) if items is not None else []
        self._labels: list[Any] = list(labels) if labels is not None else [None] * len(self._items)
        if len(self._labels) != len(self._items):
            raise ValueError(f"There are {len(self._items)} items but {len(self._labels)} labels.")
        self._places: dict[Any, int] | None = None
        for place, label in enumerate(self._labels):
            _check_label(label)
            if label is not None and label in self._labels[:place]:
                raise KeyError(f"Label {label!r} occurs twice.")

    # ------------------------------------------------------------------------------------------ items

    @property
    def data(self) -> list[T]:
        """The items as a plain list, a copy."""
        return list(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: str) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | str | slice) -> T | list[T]:
        if isinstance(index, slice):
            return self._items[index]
        return self._items[self._place(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            self._items[index] = value
            # Whatever the slice was, the items around it may have moved: labels would name other items than before.
            self._labels = [None] * len(self._items)
        else:
            self._items[self._place(index)] = value
        self._places = None

    def __delitem__(self, index: Any) -> None:
        where = index if isinstance(index, slice) else self._place(index)
        del self._items[where]
        del self._labels[where]
        self._places = None

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def insert(self, index: int, value: T, label: str | None = None) -> None:
        """Puts an item before the one at `index`."""
        self._check_free(label)
        self._items.insert(index, value)
        self._labels.insert(index, label)
        self._places = None

    def append(self, value: T, label: str | None = None) -> None:
        """Puts an item at the end."""
        self.insert(len(self._items), value, label)

    def set(self, index: int | str, value: T, label: str | None = None) -> None:
        """Replaces an item and its label."""
        place = self._place(index)
        if label != self._labels[place]:
            self._check_free(label)
        self._items[place], self._labels[place] = value, label
        self._places = None

    def pop(self, index: int | str = -1) -> T:
        """Takes an item out, by number or label, and returns it."""
        place = self._place(index)
        self._labels.pop(place)
        self._places = None
        return self._items.pop(place)

    # ------------------------------------------------------------------------------------------ labels

    def get_label(self, index: int) -> Any:
        """The label of an item, or None."""
        return self._labels[index]

    def set_label(self, index: int | str, label: str | None) -> None:
        """Gives an item another label, or, with None, none."""
        place = self._place(index)
        if label != self._labels[place]:
            self._check_free(label)
        self._labels[place] = label
        self._places = None

    def items(self) -> Iterator[tuple[Any, T]]:
        """Pairs of label (or None) and item, in order."""
        return iter(list(zip(self._labels, self._items, strict=True)))

    def __contains__(self, label: object) -> bool:
        return label is not None and label in self._labels

    # ------------------------------------------------------------------------------------------ the rest

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabeledList):
            return NotImplemented
        return self._items == other._items and self._labels == other._labels

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = (f"{item!r}" if label is None else f"{label}={item!r}" for label, item in self.items())
        return f"LabeledList({', '.join(shown)})"

    def _place(self, index: int | str) -> int:
        # `operator.index`, so that numpy's integers are numbers, too.
        if hasattr(index, "__index__"):
            return index.__index__()
        if self._places is None:
            self._places = {label: place for place, label in enumerate(self._labels) if label is not None}
        try:
            return self._places[index]
        except KeyError:
            known = ", ".join(repr(label) for label in self._labels if label is not None) or "none"
            raise KeyError(f"There is no label {index!r}; labels are: {known}.") from None

    def _check_free(self, label: Any) -> None:
        _check_label(label)
        if label in self:
            raise KeyError(f"Label {label!r} is taken.")


def _check_label(label: object) -> None:
    if hasattr(label, "__index__") or isinstance(label, slice):
        raise TypeError(f"A label must not be a number or a slice, found {label!r}: those are how items are indexed.")
