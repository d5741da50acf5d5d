"""The one exception that carries an error of the contract (ERR-1)."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Signature, signature
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound="Failure")

_SET_BY_PYTHON = frozenset({"__cause__", "__context__", "__suppress_context__", "__traceback__"})
"""What Python itself, and the standard library, set on every exception that is raised."""


class _CompleteWhenMade(type):
    """A class whose instances cannot be changed once their constructor has returned."""

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        made: T = type.__call__(cls, *args, **kwargs)
        vars(made)["_is_made"] = True
        return made

    @property
    def __signature__(cls) -> Signature:
        # Otherwise help and documentation would show the signature of __call__.
        made_by: Any = cls
        constructor = signature(made_by.__init__)
        return constructor.replace(parameters=list(constructor.parameters.values())[1:])


class Failure(Exception, metaclass=_CompleteWhenMade):
    """A request that ends with an error of the closed list in :mod:`levelup_ov.errors`. It cannot be changed.

    ``code`` is a key of that list; ``message`` is for people and never holds a secret (ERR-4);
    ``path`` is the JSONPath of the offending member of the request, where there is one;
    ``retry_after`` is how many seconds to wait before trying again, where that is known.
    """

    def __init__(self, code: str, message: str, *, path: str | None = None, retry_after: float | None = None) -> None:
        # The message is not an argument too, so that a copy without a secret in it has that secret nowhere.
        super().__init__(code)
        self.code = code
        self.message = message
        self.path = path
        self.retry_after = retry_after

    def replace(self, **members: Any) -> Self:
        """A copy with other values of ``members``, and without the traceback, cause and context of this failure.

        :raises TypeError: it has no such member.
        """
        if unknown := [name for name in members if not hasattr(self, name)]:
            raise TypeError(f"a {type(self).__name__} has no {', '.join(unknown)}")
        return _restored(type(self), {**vars(self), **members})

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _SET_BY_PYTHON and "_is_made" in vars(self):
            self._refuse()
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed; replace() returns a copy")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), vars(self))

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r}, path={self.path!r})"


def _restored(kind: type[F], members: Mapping[str, Any]) -> F:
    """A failure with these members, made without its constructor."""
    failure = kind.__new__(kind, members["code"])
    vars(failure).update(members)
    return failure
