"""Values that must not be seen: a wrapper for single secrets, and a repr that hides fields."""

from __future__ import annotations

import hmac
from dataclasses import fields
from typing import Any, ClassVar, Self

from ...exceptions import ConfigurationException

#: What stands in place of a secret wherever it would be printed.
REDACTED = "[redacted]"


class Secret:
    """A string that shows itself only through :meth:`expose`.

    Args:
        value: The secret itself.

    Raises:
        ConfigurationException: The value is no string, or is empty.

    >>> secret = Secret("correct horse")
    >>> secret, secret.expose()
    (Secret([redacted]), 'correct horse')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        value = value.expose() if isinstance(value, Secret) else value
        if not isinstance(value, str) or not value:
            raise ConfigurationException(
                "A secret must be a string that is not empty", code="secret_invalid", actual=type(value).__name__
            )
        self._value = value

    def expose(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = (secret._value.encode(errors="surrogatepass") for secret in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self  # requests that hold one can be copied

    def __reduce__(self) -> Any:
        raise ConfigurationException(
            "A Secret cannot be pickled",
            code="secret_not_picklable",
            hint="pass it through a secret store instead",
        )


def exposed(value: str | Secret) -> str:
    """Return the text of a secret that may come wrapped or bare."""
    return value.expose() if isinstance(value, Secret) else value


def same_text(one: str, other: str) -> bool:
    """Compare two texts in a time that says nothing of where they differ; half characters are no error."""
    mine, theirs = (text.encode("utf-8", "surrogatepass") for text in (one, other))
    return hmac.compare_digest(mine, theirs)


class Unpicklable:
    """Base of values that hold keys: copies are the value itself, and none is written down anywhere."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> Any:
        raise ConfigurationException(
            f"{type(self).__name__} cannot be pickled: it holds a key",
            code="secret_not_picklable",
            hint="pickle what it is made from, protected, and build it anew",
        )


class Redacted:
    """Base of dataclasses whose ``repr`` hides the fields in ``_redacted`` and leaves out those with ``repr=False``."""

    _redacted: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        shown = []
        for name, value in _visible(self):
            hidden = name in self._redacted and value is not None
            shown.append(f"{name}={REDACTED!r}" if hidden else f"{name}={value!r}")
        return f"{type(self).__qualname__}({', '.join(shown)})"


def _visible(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, object.__getattribute__(value, f.name)) for f in fields(value) if f.repr]


__all__ = ["REDACTED", "Redacted", "Secret", "Unpicklable", "exposed", "same_text"]
