"""The one exception that carries an error of the contract (ERR-1)."""

from __future__ import annotations


class Failure(Exception):
    """A request that ends with an error of the closed list in :mod:`levelup_ov.errors`.

    ``code`` is a key of that list; ``message`` is for people and never holds a secret (ERR-4);
    ``path`` is the JSONPath of the offending member of the request, where there is one;
    ``retry_after`` is how many seconds to wait before trying again, where that is known.
    """

    def __init__(self, code: str, message: str, *, path: str | None = None, retry_after: float | None = None) -> None:
        # Not kept as an argument, so that removing a secret from ``message`` removes it from the exception's text.
        super().__init__(code)
        self.code = code
        self.message = message
        self.path = path
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.message!r}, path={self.path!r})"
