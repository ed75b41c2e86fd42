"""A metric's series by the values of its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

_M = TypeVar("_M")


class Family(Generic[_M]):
    """A metric's children by label values; look-ups take no lock."""

    __slots__ = ("_children", "_make")

    def __init__(self, make: Callable[..., _M]) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], _M] = {}

    def __call__(self, *labels: str) -> _M:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._make(*labels) if labels else self._make()
        return child

    @property
    def seen(self) -> Iterable[tuple[str, ...]]:
        return tuple(self._children)
