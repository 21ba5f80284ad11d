"""Verdicts and chosen claims of many tokens as columns: which types these have, and what does not fit them.

A value stands in its column or, as it is, among the misfits of its row: nothing is changed and nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from ...exceptions import ConfigurationException, PyIdentityModelException, ValidationException, printable
from ..base.flow import Clock, Flow, now, resolve
from .batch import Batch, Offload, Outcome, judged_of, nothing_follows
from .claim_checks import Claims
from .engine import GOOD, RawTokens
from .validator import Validator

#: What can be said about a token: that it is good, that it is not, or that its issuer could not be asked.
VALID, REFUSED, UNVERIFIED = "valid", "refused", "unverified"
#: The columns beside those of claims.
VERDICT, CODE, MISFITS = "verdict", "code", "misfits"
#: Tokens that are worked on together.
COLUMN_WINDOW = 4096
#: Claims that one call can ask for.
MOST_COLUMNS = 100
#: Integers up to this one, and the negatives of them, are the same number as floats.
_MAX_EXACT = 2**53
#: Types of claims that are no text, where the caller does not say.
_USUAL: Final[Mapping[str, str]] = {
    **dict.fromkeys(("exp", "nbf", "iat", "auth_time", "updated_at"), "int"),
    **dict.fromkeys(("email_verified", "phone_number_verified"), "bool"),
    **dict.fromkeys(("aud", "amr"), "list[str]"),
}
_TYPES: Final[Mapping[object, str]] = {str: "str", int: "int", float: "float", bool: "bool", list[str]: "list[str]"}
_EXPECTED = "str, int, float, bool or list[str]"

#: Claims by name, with their usual types or with those that are said.
Wanted: TypeAlias = Iterable[str] | Mapping[str, type]
#: The name of a claim and of its type.
Column: TypeAlias = tuple[str, str]


@runtime_checkable
class ArrowArray(Protocol):
    """An array that Arrow can take over."""

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Hand it over."""
        ...


@runtime_checkable
class ArrowStream(Protocol):
    """An array in several parts that Arrow can take over."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand it over."""
        ...


class ArrowTable(Protocol):
    """What a ``pyarrow.Table`` has that most callers need; pyarrow itself comes without types."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        ...

    def to_pydict(self) -> dict[str, list[Any]]:
        """Return the columns as lists."""
        ...

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand it over to pandas, Polars, DuckDB."""
        ...


class TokenWindow(Protocol):
    """Some tokens, wherever they lie."""

    def raw(self) -> RawTokens:
        """Return all of them; in the place of what is none stands something that is no token either."""
        ...

    def at(self, places: Sequence[int]) -> list[Any]:
        """Return some of them as Python has them."""
        ...

    def __len__(self) -> int: ...


class Judged(NamedTuple):
    """A window of tokens, judged.

    Attributes:
        rows: How many there are.
        buffers: For each column the buffers of Arrow, with nulls in the rows of *others*; None if those are all rows.
        others: Outcomes of all rows but those that are valid and stand in the buffers.
    """

    rows: int
    buffers: list[list[bytes]] | None
    others: dict[int, Outcome[Claims]]


def columns_of(wanted: Wanted) -> tuple[Column, ...]:
    """Return the columns for the claims that a caller names.

    Raises:
        ConfigurationException: They cannot be columns.
    """
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable):
        raise _unfit("names of claims", wanted)
    given = wanted if isinstance(wanted, Mapping) else None
    names = list(wanted)
    if len(names) > MOST_COLUMNS:
        raise _unfit(f"{MOST_COLUMNS} claims at most", len(names))
    for at, name in enumerate(names):
        if not isinstance(name, str) or name in (VERDICT, CODE, MISFITS) or name in names[:at]:
            raise _unfit(f"names of claims, each once, none of them {VERDICT}, {CODE} or {MISFITS}", name)
    return tuple((name, _USUAL.get(name, "str") if given is None else _type(given[name])) for name in names)


def _type(kind: object) -> str:
    try:
        return _TYPES[kind]
    except (KeyError, TypeError):
        raise _unfit(_EXPECTED, kind) from None


def _unfit(expected: str, actual: object) -> ConfigurationException:
    return ConfigurationException(
        f"claims must be {expected}",
        code="policy_invalid",
        claim="claims",
        expected=expected,
        actual=printable(getattr(actual, "__name__", actual)),
    )


def judge_columns(
    validator: Validator, batch: Batch, offload: Offload | None, tokens: TokenWindow, columns: Sequence[Column]
) -> Flow[Judged]:
    """Judge a window of tokens: the everyday ones without a Python object for each, the others as a batch does."""
    clock = yield from now()
    work = partial(_native_columns, validator, tokens, clock, columns)
    found: _Found | None = work() if offload is None else (yield from resolve(offload(work)))
    buffers, rest, others = found or (None, list(range(len(tokens))), {})
    if rest:
        others.update(zip(rest, (yield from batch.judge(tokens.at(rest))), strict=True))
        batch.forget()
    return Judged(len(tokens), buffers, others)


def said_of(outcome: Outcome[Any]) -> tuple[str, str | None]:
    """Return the verdict, and for a token that is not valid the code."""
    if not isinstance(outcome, PyIdentityModelException):
        return VALID, None
    return (REFUSED if isinstance(outcome, ValidationException) else UNVERIFIED), outcome.code


class _Found(NamedTuple):
    buffers: list[list[bytes]]
    #: Places that are left to be judged with care, and outcomes that are known.
    rest: list[int]
    others: dict[int, Outcome[Claims]]


def columns_suffice(validator: Validator) -> bool:
    """Tell whether tokens of everyday need no Python: nobody wants to know more of them than the engine looks at."""
    asked = validator.asks or not validator.plain
    watched = validator.meter is not None or validator.revocations is not None or validator.statuses is not None
    if asked or watched or validator.engine.name != "native":
        return False
    return validator.only is not None and not validator.only.others


def _native_columns(
    validator: Validator, tokens: TokenWindow, clock: Clock, columns: Sequence[Column]
) -> _Found | None:
    trusted = validator.only
    if trusted is None or not columns_suffice(validator):
        return None
    snapshot = trusted.snapshot
    if snapshot is None or snapshot.judge is None:
        return None
    if not nothing_follows(validator, trusted, snapshot, clock.steady):
        return None
    longest = validator.options.max_token
    said, payloads, buffers = snapshot.judge.columns_many(tokens.raw(), longest, clock.wall, columns, 1)
    if not said.strip(bytes([GOOD])):
        return _Found(buffers, [], {})
    verified = list(payloads)
    outcomes = judged_of(validator, trusted, snapshot, tokens.at(verified), list(payloads.values()), clock)
    known = {at: outcome for at, outcome in zip(verified, outcomes, strict=True) if outcome is not None}
    return _Found(buffers, [at for at, word in enumerate(said) if word != GOOD and at not in known], known)


class Row(NamedTuple):
    """A row of a table that was judged as a batch does: values in the order of the columns, and what fits none."""

    values: list[Any]
    misfits: str | None


def row_of(claims: Claims, columns: Sequence[Column]) -> Row:
    """Return the row for the claims of a valid token."""
    values, misfits = [], {}
    for name, kind in columns:
        value = claims.get(name)
        fitting = None if value is None else _FITTING[kind](name, value)
        values.append(fitting)
        if fitting is None and name in claims:
            misfits[name] = value
    said = json.dumps(misfits, ensure_ascii=False, separators=(",", ":")) if misfits else None
    return Row(values, said)


def _text(_name: str, value: Any) -> str | None:
    return value if type(value) is str else None


def _integer(_name: str, value: Any) -> int | None:
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def _number(_name: str, value: Any) -> float | None:
    if type(value) is int and abs(value) <= _MAX_EXACT:
        return float(value)
    return value if type(value) is float else None


def _truth(_name: str, value: Any) -> bool | None:
    return value if type(value) is bool else None


def _texts(name: str, value: Any) -> list[str] | None:
    if name == "aud" and type(value) is str:  # RFC 7519 4.1.3: one audience may stand without a list
        return [value]
    return value if type(value) is list and all(type(item) is str for item in value) else None


_FITTING: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "str": _text,
    "int": _integer,
    "float": _number,
    "bool": _truth,
    "list[str]": _texts,
}


__all__ = [
    "CODE",
    "COLUMN_WINDOW",
    "MISFITS",
    "MOST_COLUMNS",
    "REFUSED",
    "UNVERIFIED",
    "VALID",
    "VERDICT",
    "ArrowArray",
    "ArrowStream",
    "ArrowTable",
    "Column",
    "Judged",
    "Row",
    "TokenWindow",
    "Wanted",
    "columns_of",
    "columns_suffice",
    "judge_columns",
    "row_of",
    "said_of",
]
