"""Properties that are computed once for each instance, without a lock.

Beside the pipeline. `functools.cached_property` of Python 3.11 holds one lock for all instances of a class while it
computes: threads that encode other chunks wait for it, and a process forked meanwhile would wait for ever.
"""

from __future__ import annotations

import sys

__all__ = ["cached_property"]

if sys.version_info >= (3, 12):
    from functools import cached_property
else:
    from collections.abc import Callable
    from typing import Any, Generic, TypeVar, overload

    T = TypeVar("T")

    class cached_property(Generic[T]):
        """What a method gives, kept in the instance under the method's name.

        Examples
        --------
        >>> class Square:
        ...     @cached_property
        ...     def area(self):
        ...         return [4]
        >>> square = Square()
        >>> square.area is square.area
        True
        """

        def __init__(self, compute: Callable[[Any], T]) -> None:
            self.compute, self.__doc__ = compute, compute.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        @overload
        def __get__(self, instance: None, owner: type | None = None) -> cached_property[T]: ...

        @overload
        def __get__(self, instance: object, owner: type | None = None) -> T: ...

        def __get__(self, instance: object | None, owner: type | None = None) -> cached_property[T] | T:
            """Compute once; the instance's own entry hides the property from then on."""
            if instance is None:
                return self
            value: T = instance.__dict__.setdefault(self.name, self.compute(instance))
            return value
