"""Values that must not be seen: a wrapper for single secrets, and a repr that hides fields."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import fields
from typing import Any, ClassVar, Self, SupportsIndex, TypeAlias

from ..._arguments import explains_arguments
from ...exceptions import ConfigurationException, PyIdentityModelException

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

    @explains_arguments
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
        return _same(*(secret._value.encode(errors="surrogatepass") for secret in (self, other)))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self  # requests that hold one can be copied

    def __reduce__(self) -> Any:
        if not _allowed.get():
            raise ConfigurationException(
                "A Secret cannot be pickled",
                code="secret_not_picklable",
                hint="pass it through a secret store instead; pickled_with_secrets(value) writes it in plain text",
            )
        return Secret, (self._value,)


#: A secret, or what returns it: called for each request, so that one which changes is never an old one.
CurrentSecret: TypeAlias = "str | Secret | Callable[[], str | Secret]"


def current(value: CurrentSecret | None, name: str) -> str | Secret | None:
    """Return a secret as of now; nothing that the callable raises is let out, as it may hold what it reads.

    Raises:
        ConfigurationException: The callable raised (``credential_unavailable``) or returned something else.
    """
    if not callable(value):
        return value
    try:
        found = value()
    except PyIdentityModelException:
        raise
    except Exception as error:  # foreign code: whatever it is
        reason = type(error).__name__
    else:
        if is_secret(found):
            return found
        reason = f"it returned {type(found).__name__}"
    raise credential_unavailable(name, reason)


def is_secret(found: object) -> bool:
    """Tell whether what a function returned is a secret: text that is not empty, or wrapped."""
    return isinstance(found, Secret) or (isinstance(found, str) and bool(found))


def credential_unavailable(name: str, reason: str) -> ConfigurationException:
    """Return the exception for a function that gave no credential."""
    return ConfigurationException(
        f"{name} is not to be had: {reason}", code="credential_unavailable", claim=name, actual=reason
    )


def exposed(value: str | Secret) -> str:
    """Return the text of a secret that may come wrapped or bare."""
    return value.expose() if isinstance(value, Secret) else value


def same_text(one: str, other: str) -> bool:
    """Compare two texts in a time that says nothing of where they differ; half characters are no error."""
    return _same(*(text.encode("utf-8", "surrogatepass") for text in (one, other)))


def _same(one: bytes, other: bytes) -> bool:
    import hmac  # not at the top: validators know the type Secret, and seldom have one

    return hmac.compare_digest(one, other)


def secret_octets(value: str | Secret) -> bytes:
    """Return the UTF-8 of a secret.

    Raises:
        ConfigurationException: It holds half a character (a lone surrogate), which has none.
    """
    octets = None
    try:
        octets = exposed(value).encode()
    except UnicodeEncodeError:  # it holds the secret, so nothing is raised in its context
        pass
    if octets is None:
        raise ConfigurationException("The secret is no text: half a character has no encoding", code="secret_invalid")
    return octets


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


_allowed: ContextVar[bool] = ContextVar("pickled_with_secrets", default=False)


@explains_arguments
def pickled_with_secrets(value: object) -> bytes:
    """Pickle *value* with the secrets in it, in plain text: whatever reads the bytes has them.

    Without it, values that hold secrets refuse to be pickled. Keys that are ready for use do so with it as well.

    Args:
        value: What ``pickle.loads`` is to give back.

    Returns:
        The pickle. Encrypt it wherever it is kept or sent.

    Raises:
        ConfigurationException: It holds a key that is never written down (``secret_not_picklable``), or something else
            that cannot be pickled (``value_not_picklable``).

    >>> import pickle
    >>> pickle.loads(pickled_with_secrets(Secret("correct horse"))).expose()
    'correct horse'
    """
    token = _allowed.set(True)
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        kind = type(error).__name__
    finally:
        _allowed.reset(token)
    raise ConfigurationException(
        f"{type(value).__name__} cannot be pickled: {kind}", code="value_not_picklable", actual=type(value).__name__
    )


def refuse_to_pickle(value: object, secret: str) -> None:
    """Refuse, unless :func:`pickled_with_secrets` does it.

    Raises:
        ConfigurationException: It does not.
    """
    if not _allowed.get():
        raise ConfigurationException(
            f"{type(value).__name__} cannot be pickled: it holds {secret}",
            code="secret_not_picklable",
            claim=secret,
            hint="pickled_with_secrets(value) writes its secrets in plain text",
        )


class Redacted:
    """Base of dataclasses whose ``repr`` hides the fields in ``_redacted`` and leaves out those with ``repr=False``.

    A value with a secret in one of them is not pickled, unless the class says ``_pickles`` or it is asked for by name.
    """

    _redacted: ClassVar[frozenset[str]] = frozenset()
    _pickles: ClassVar[bool] = False

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        held = () if self._pickles else sorted(self._redacted)
        for name in held:
            if _field(self, name) not in (None, "", (), {}):
                refuse_to_pickle(self, name)
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> Self:
        return self._copied(lambda value: value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copied(lambda value: deepcopy(value, memo))

    def _copied(self, each: Callable[[Any], Any]) -> Self:
        new = object.__new__(type(self))
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(new, f.name, each(_field(self, f.name)))
        for name, value in getattr(self, "__dict__", {}).items():
            new.__dict__.setdefault(name, value)
        return new

    def __repr__(self) -> str:
        shown = []
        for name, value in _visible(self):
            hidden = name in self._redacted and value is not None
            shown.append(f"{name}={REDACTED!r}" if hidden else f"{name}={value!r}")
        return f"{type(self).__qualname__}({', '.join(shown)})"


def _field(value: Any, name: str) -> Any:
    try:
        return object.__getattribute__(value, name)  # what guards a failed response is not asked
    except AttributeError:
        return None


def _visible(value: Any) -> list[tuple[str, Any]]:
    return [(f.name, object.__getattribute__(value, f.name)) for f in fields(value) if f.repr]


__all__ = [
    "REDACTED",
    "CurrentSecret",
    "Redacted",
    "Secret",
    "Unpicklable",
    "credential_unavailable",
    "current",
    "exposed",
    "is_secret",
    "pickled_with_secrets",
    "refuse_to_pickle",
    "same_text",
    "secret_octets",
]
