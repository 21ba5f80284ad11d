"""What an explanation says: each check in order, and what would help. It never holds the token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import Any, Final, Literal, TypeAlias

from ...exceptions import PyIdentityModelException, printable

#: ``passed``; ``refused``; ``unknown``: it could not be made now; ``not reached``: it needs what was refused before.
CheckVerdict: TypeAlias = Literal["passed", "refused", "unknown", "not reached"]

#: Characters of a value that are shown around the first one that differs.
AROUND: Final = 60
_WIDTH: Final = len("refused")


@dataclass(frozen=True, slots=True)
class ExplainedCheck:
    """One check.

    Attributes:
        name: What is checked: ``form``, ``type``, ``issuer``, ``algorithm``, ``key``, ``signature``, ``audience`` and
            so on.
        verdict: ``passed``, ``refused``, ``unknown`` or ``not reached``.
        code: The code of the refusal, as the exception has it.
        expected: What would have been accepted.
        actual: What came.
        message: What happened.
        differs_at: The place of the first character where *actual* leaves *expected*, counted from 0; None where they
            are no single texts.
    """

    name: str
    verdict: CheckVerdict
    code: str | None = None
    expected: str | None = None
    actual: str | None = None
    message: str | None = None
    differs_at: int | None = None

    def _lines(self) -> Iterator[str]:
        shown = f"  {self.verdict:<{_WIDTH}}  {self.name:<11}"
        if self.verdict == "passed" or self.expected is None or self.actual is None:
            yield f"{shown} {self.actual or self.message or ''}".rstrip()
            return
        yield f"{shown} {self.message or ''}".rstrip()
        start = max(0, (self.differs_at or 0) - AROUND // 2)
        for label, value in (("expected", self.expected), ("actual", self.actual)):
            yield f"{'':<{_WIDTH + 4}}  {label:<8}  {_cut(value, start)}"
        if self.differs_at is not None:
            place = self.differs_at - start + (3 if start else 0)
            yield f"{'':<{_WIDTH + 4}}  {'':<8}  {' ' * place}^ character {self.differs_at + 1}"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would help.

    Attributes:
        check: The name of the check that it is about.
        cause: A stable name of what is the matter, such as ``issuer_trailing_slash``.
        text: What it is, and what to do.
        setting: What to write here, where that is safe: the signature is the issuer's, so that the setting is what was
            wrong. None where the client or the provider must change.
        suffices: Whether nothing else is wrong: with it the token would be accepted.
    """

    check: str
    cause: str
    text: str
    setting: str | None = None
    suffices: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a token is accepted or refused. Its text is what ``py-identity-model explain`` prints.

    Attributes:
        accepted: The verdict of the validator itself, and of the requirement if there is one.
        error: What the validator raised; None where the token is accepted.
        checks: Each check, in order.
        remedies: What would help, for each check that is refused.
        claims: The claims, unverified where :attr:`accepted` is false; None unless they were asked for.
    """

    accepted: bool
    error: PyIdentityModelException | None
    checks: tuple[ExplainedCheck, ...]
    remedies: tuple[Remedy, ...] = ()
    claims: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def cause(self) -> str | None:
        """The name of what is the matter: of the first remedy, else the code of the refusal."""
        if self.remedies:
            return self.remedies[0].cause
        return None if self.error is None else self.error.code

    @property
    def refused(self) -> tuple[ExplainedCheck, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if check.verdict == "refused")

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON has it."""
        error = self.error
        said: dict[str, Any] = {
            "accepted": self.accepted,
            "cause": self.cause,
            "code": None if error is None else error.code,
            "message": None if error is None else error.message,
            "checks": [_without_none(asdict(check)) for check in self.checks],
            "remedies": [_without_none(asdict(remedy)) for remedy in self.remedies],
        }
        if self.claims is not None:
            said["claims"] = dict(self.claims)
        return said

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        refused = len(self.refused)
        if self.accepted:
            yield "accepted"
        elif self.error is not None:
            yield f"{'refused' if refused else 'cannot be verified now'}: {self.error.message} ({self.error.code})"
        for check in self.checks:
            if check.verdict != "not reached":
                yield from check._lines()
        left = [check.name for check in self.checks if check.verdict == "not reached"]
        if left:
            yield from wrap(
                f"not reached: {', '.join(left)}", 110, initial_indent="  ", subsequent_indent=" " * (_WIDTH + 4)
            )
        for remedy in self.remedies:
            alone = "" if remedy.suffices else f" (one of {refused} things to mend)" if refused > 1 else ""
            yield f"{remedy.check}: {remedy.text}{alone}"
            if remedy.setting is not None:
                yield f"  here: {remedy.setting}"


def differing(expected: str, actual: str) -> int | None:
    """Return the place of the first character where two texts part; None where they are the same.

    >>> differing("https://id.example.com", "https://id.example.com/")
    22
    """
    if expected == actual:
        return None
    pairs = enumerate(zip(expected, actual, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(expected), len(actual)))


def shown(value: object) -> str | None:
    """Return an expected or actual value as one bounded line; None stays None."""
    if value is None:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        return printable(" or ".join(str(one) for one in value))
    return printable(value)


def _cut(value: str, start: int) -> str:
    if start == 0 and len(value) <= 2 * AROUND:
        return value
    end = start + 2 * AROUND
    return ("..." if start else "") + value[start:end] + ("..." if end < len(value) else "")


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


__all__ = ["CheckVerdict", "ExplainedCheck", "Explanation", "Remedy", "differing", "shown"]
