"""What exceptions can be given by keyword, for those who make their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypedDict

#: Further facts by name.
Details: TypeAlias = Mapping[str, Any] | None


class ErrorFacts(TypedDict, total=False):
    """What every exception of the library can be given by keyword; its attributes of the same names tell it."""

    code: str | None
    claim: str | None
    expected: object
    actual: object
    hint: str | None


class NetworkFacts(ErrorFacts, total=False):
    """What every :class:`NetworkException` can be given by keyword."""

    url: str | None
    status_code: int | None
    details: Details
    retry_after: float | None


__all__ = ["Details", "ErrorFacts", "NetworkFacts"]
