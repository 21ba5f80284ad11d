"""One way to refuse: what the exceptions say, and the checks of arguments that every part of the library makes."""

from __future__ import annotations

import math
from typing import Any, TypeGuard, TypeVar

from .exceptions import ConfigurationException, PyIdentityModelException, printable

E = TypeVar("E", bound=PyIdentityModelException)
N = TypeVar("N", int, float)


def refused(
    kind: type[E],
    code: str,
    message: str,
    claim: str | None = None,
    expected: object = None,
    actual: object = None,
    **facts: Any,
) -> E:
    """Return the exception *kind* with *code*; foreign text is shortened, so that it cannot forge a log line.

    Args:
        kind: The class of the exception.
        code: Its stable code.
        message: What is wrong.
        claim: The claim, header parameter or field concerned.
        expected: What would have been accepted.
        actual: What came; numbers are kept as they are.
        facts: ``hint`` and what else the class takes.
    """
    shown = actual if actual is None or isinstance(actual, bool | int | float) else printable(actual)
    name = None if claim is None else printable(claim, 60)
    return kind(message, code=code, claim=name, expected=expected, actual=shown, **facts)


def because(
    kind: type[E],
    code: str,
    what: str,
    reason: str,
    claim: str | None = None,
    expected: object = None,
    actual: object = None,
    **facts: Any,
) -> E:
    """Return the exception for something that cannot be done, and why not.

    Args:
        kind: The class of the exception.
        code: Its stable code.
        what: What cannot be done, as the beginning of a sentence.
        reason: Why, as its end.
        claim: The claim, header parameter or field concerned.
        expected: What would have been accepted.
        actual: What came.
        facts: ``hint`` and what else the class takes.
    """
    return refused(kind, code, f"{what}: {reason}", claim, expected, actual, **facts)


def must_be(
    name: str,
    expected: str,
    actual: object = None,
    *,
    code: str = "policy_invalid",
    kind: type[PyIdentityModelException] = ConfigurationException,
    **facts: Any,
) -> PyIdentityModelException:
    """Return the exception for a value that is not what it must be.

    Args:
        name: The argument, field or member.
        expected: What is accepted, as the end of a sentence.
        actual: What came; None where it must not be repeated.
        code: The stable code.
        kind: The class of the exception.
        facts: ``hint`` and what else the class takes.
    """
    shown = None if actual is None else printable(actual, 80)
    got = "" if shown is None else f", got {shown!r}" if isinstance(actual, str) else f", got {shown}"
    message = f"{name} must be {expected}{got}"
    return kind(message, code=code, claim=name, expected=expected, actual=shown, **facts)


def is_number(value: object, kind: type[N], low: float = 0, high: float = math.inf) -> TypeGuard[N]:
    """Tell whether *value* is a finite number from *low* to *high*; where *kind* is float, an int is one too."""
    wanted = int if kind is int else int | float
    return not isinstance(value, bool) and isinstance(value, wanted) and low <= value <= high and value != math.inf


def bounded(
    value: object,
    name: str,
    kind: type[N],
    low: float,
    high: float = math.inf,
    *,
    unit: str = "",
    code: str = "policy_invalid",
) -> N:
    """Return *value*, which must be a number within bounds.

    Args:
        value: What was given.
        name: What it is called.
        kind: ``int`` for a whole number, ``float`` for any.
        low: The least that is accepted.
        high: The most that is accepted; infinity is never.
        unit: What is counted, for the message.
        code: The stable code of the refusal.

    Raises:
        ConfigurationException: It is something else, or out of bounds.

    >>> bounded(30, "leeway", float, 0, 300, unit="seconds")
    30
    """
    if is_number(value, kind, low, high):
        return value
    counted = "a whole number" if kind is int else "a number"
    counted += f" of {unit}" if unit else ""
    limits = f"of at least {low:.10g}" if math.isinf(high) else f"from {low:.10g} to {high:.10g}"
    raise must_be(name, f"{counted} {limits}", value, code=code)


__all__ = ["because", "bounded", "is_number", "must_be", "refused"]
