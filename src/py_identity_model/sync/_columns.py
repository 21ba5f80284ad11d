"""Many tokens as columns, blocking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .._token_validator import TokenValidatorBase
from ._driver import run

if TYPE_CHECKING:
    from .._core.validation.columns import ArrowArray, ArrowStream, ArrowTable
    from ._clients import Transport  # noqa: F401 - named in a string, in the base of the class


class ColumnsOfTokens(TokenValidatorBase["Transport"]):
    """The part of a ``TokenValidator`` that speaks Arrow."""

    def validate_columns(
        self, tokens: Iterable[str] | ArrowArray | ArrowStream, claims: Iterable[str] | Mapping[str, type] = ()
    ) -> ArrowTable:
        """Validate many tokens, and return verdicts and chosen claims as the columns of a ``pyarrow.Table``.

        With the native engine and one issuer no Python object is made for a token whose claims are as they are every
        day. The verdicts are those of :meth:`validate_many`. Needs the extra ``[parquet]``.

        Args:
            tokens: The tokens, from an iterable, or an array of strings that Arrow can take over: of pyarrow,
                of Polars, a pandas Series of such.
            claims: The claims wanted: their names, or their names and types (``str``, ``int``, ``float``, ``bool``,
                ``list[str]``). Without a type ``exp``, ``nbf``, ``iat``, ``auth_time`` and ``updated_at`` are integers,
                ``email_verified`` and ``phone_number_verified`` booleans, ``aud`` and ``amr`` lists, all others text.

        Returns:
            A table with a row per token, in their order: ``verdict`` (``valid``, ``refused``, ``unverified``),
            ``code``, a column per claim, and with claims ``misfits``: values that are not of the type
            of their column, as JSON.

        Raises:
            ConfigurationException: *tokens* or *claims* cannot be used, or pyarrow is missing (``extra_missing``).

        >>> from py_identity_model import TokenValidator
        >>> from py_identity_model.testing import EmbeddedProvider
        >>> provider = EmbeddedProvider()
        >>> validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
        >>> table = validator.validate_columns([provider.mint(audience="api", subject="ada"), "no token"], ["sub"])
        >>> table.to_pydict()["code"], table.to_pydict()["sub"]
        ([None, 'token_malformed'], ['ada', None])
        """
        # Few need it, and everybody imports this module.
        from .._arrow import Tables, token_windows
        from .._core.validation.columns import columns_of, judge_columns

        columns = columns_of(claims)
        tables, batch, batches = Tables(columns), self._batch(None, None), []
        for window in token_windows(tokens):
            work = judge_columns(self._validator, batch, None, window, columns)
            batches.append(tables.of(run(work, self._http_client)))
        whole: ArrowTable = tables.whole(batches)
        return whole


__all__ = ["ColumnsOfTokens"]
