"""Very many tokens: as a batch function for Ray Data, Dask and PySpark, and as a job over a file.

Both send a validator to other processes, keys and all (a pickled :class:`TokenValidator`), and give a verdict per row:
``valid``; ``refused``, with the stable code of the refusal; or ``unverified``, where the provider could not be asked,
which says nothing about the token. No verdict holds a token.
"""

from __future__ import annotations

import pickle
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar, overload

import msgspec

from ._core.validation.batch import Outcome
from ._core.validation.claim_checks import Claims
from ._core.validation.columns import REFUSED, UNVERIFIED, VALID
from .exceptions import ConfigurationException, PyIdentityModelException, ValidationException
from .sync._driver import run
from .sync._validation import TokenValidator

#: A table of pandas, polars or PyArrow.
Frame = TypeVar("Frame")


class BatchValidator:
    """A function from a batch with a column of tokens to that batch with verdicts, which can be pickled.

    It takes and returns what the engine at hand has for a batch: a dict of columns, a pandas DataFrame, a pyarrow
    Table, or a list of rows, which are dicts or tokens. The column of tokens is taken out, and these come in:

    ``verdict``
        ``valid``, ``refused`` or ``unverified``.
    ``code``
        Why it is not valid: the stable code of the refusal.
    ``claims``
        The claims of a valid token as JSON text, if asked for.

    Args:
        validator: The policy. Warm it up first, and its keys are sent along.
        column: The name of the column that holds the tokens.
        claims: Whether the claims are wanted.
        threads: Threads used for one batch; 1 where the engine has a worker on every core.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
    >>> judge = BatchValidator(validator)
    >>> judge({"id": [1, 2], "token": [provider.mint(audience="api"), "no token"]})
    {'id': [1, 2], 'verdict': ['valid', 'refused'], 'code': [None, 'token_malformed']}
    """

    def __init__(
        self, validator: TokenValidator, column: str = "token", *, claims: bool = False, threads: int = 1
    ) -> None:
        if not isinstance(validator, TokenValidator):
            raise ConfigurationException(
                "A batch function needs the TokenValidator of the blocking API",
                code="policy_invalid",
                claim="validator",
                expected="py_identity_model.TokenValidator",
                actual=type(validator).__name__,
            )
        self._validator = validator
        self._column = column
        self._claims = claims
        self._threads = threads
        self._name = secrets.token_hex(8)

    def __dask_tokenize__(self) -> tuple[str, str]:
        # Dask names work by what goes in. A pickled validator says how old its keys are, so it never looks the same.
        return type(self).__name__, self._name

    @overload
    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]: ...
    @overload
    def __call__(self, batch: Sequence[object] | Iterator[object]) -> list[dict[str, Any]]: ...
    @overload
    def __call__(self, batch: Frame) -> Frame: ...
    def __call__(self, batch: Any) -> Any:
        """Return *batch* with verdicts, without tokens.

        Raises:
            ConfigurationException: It has no column of that name.
        """
        if isinstance(batch, Mapping):
            columns = {name: values for name, values in batch.items() if name != self._column}
            found = self._columns(self._taken(batch, batch))
            return {**columns, **(found if not _holds_arrays(batch) else _as_arrays(found))}
        if hasattr(batch, "column_names"):  # pyarrow
            found = self._columns(self._taken(batch, batch.column_names).to_pylist())
            batch = batch.drop_columns([self._column])
            for name, values in found.items():
                batch = batch.append_column(name, _text_column(values))
            return batch
        if hasattr(batch, "columns"):  # pandas
            found = self._columns(self._taken(batch, batch.columns).tolist())
            return batch.drop(columns=[self._column]).assign(**found)
        return self._rows(list(batch))

    def frames(self, batches: Iterable[Frame]) -> Iterator[Frame]:
        """Do the same with each of several batches: what ``mapInPandas`` and ``mapInArrow`` of PySpark want."""
        return map(self, batches)

    def outcomes(self, tokens: Sequence[object]) -> list[Outcome[Claims]]:
        """Return claims or an exception for each token, as :meth:`TokenValidator.validate_many` does."""
        batch = self._validator._batch(None, None, self._threads)
        return run(batch.judge(tokens), self._validator._http_client)

    def _taken(self, batch: Any, names: Iterable[str]) -> Any:
        if self._column not in list(names):
            raise ConfigurationException(
                f"The batch has no column {self._column!r}",
                code="column_missing",
                claim="column",
                expected=self._column,
            )
        return batch[self._column]

    def _columns(self, tokens: Any) -> dict[str, list[Any]]:
        verdicts = [verdict(outcome) for outcome in self.outcomes([_plain(token) for token in tokens])]
        columns: dict[str, list[Any]] = {
            "verdict": [found["verdict"] for found in verdicts],
            "code": [found.get("code") for found in verdicts],
        }
        if self._claims:
            columns["claims"] = [_json(found.get("claims")) for found in verdicts]
        return columns

    def _rows(self, rows: list[Any]) -> list[dict[str, Any]]:
        rows = [row if isinstance(row, Mapping) else {self._column: row} for row in rows]
        found = self._columns([row.get(self._column) for row in rows])
        return [
            {
                **{name: value for name, value in row.items() if name != self._column},
                **dict(zip(found, new, strict=True)),
            }
            for row, new in zip(rows, zip(*found.values(), strict=True), strict=True)
        ]


def verdict(outcome: object) -> dict[str, Any]:
    """Return what is to be said about one outcome."""
    if isinstance(outcome, ValidationException):
        return {"verdict": REFUSED, "code": outcome.code, "claim": outcome.claim, "message": outcome.message}
    if isinstance(outcome, PyIdentityModelException):
        return {"verdict": UNVERIFIED, "code": outcome.code, "message": outcome.message}
    return {"verdict": VALID, "claims": outcome}


def _plain(token: Any) -> Any:
    # Arrays of NumPy and Arrow hold strings of their own; whatever is no string is refused as no token.
    return str(token) if isinstance(token, str) else token


def _json(claims: Any) -> str | None:
    return None if claims is None else msgspec.json.encode(claims).decode()


def _holds_arrays(batch: Mapping[str, Any]) -> bool:
    return any(hasattr(values, "dtype") for values in batch.values())


def _as_arrays(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    numpy = import_module("numpy")
    return {name: numpy.array(values, dtype=object) for name, values in columns.items()}


def _text_column(values: list[Any]) -> Any:
    pyarrow = import_module("pyarrow")
    return pyarrow.array(values, pyarrow.string())


def pickled(judge: BatchValidator | TokenValidator) -> bytes:
    """Return *judge* as other processes are sent it.

    Raises:
        ConfigurationException: It holds something that cannot be pickled.
    """
    try:
        return pickle.dumps(judge)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ConfigurationException(
            f"The validator cannot be sent to other processes: {type(error).__name__}",
            code="validator_not_portable",
            claim="validator",
            hint="its claims_validator, issuer_resolver and http_client must be such that can be pickled",
        ) from None


__all__ = ["BatchValidator", "pickled", "verdict"]
