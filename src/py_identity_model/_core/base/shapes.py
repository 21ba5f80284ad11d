"""Types of members of JSON documents, for :func:`msgspec.convert`: strictly of the type, and never an empty text."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Texts: TypeAlias = tuple[Text, ...]
SomeTexts: TypeAlias = Annotated[Texts, Meta(min_length=1)]
#: Seconds since 1970; neither infinity nor NaN is any.
Date: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]
#: Seconds, without a fraction.
WholeSeconds: TypeAlias = Annotated[int, Meta(ge=0)]

__all__ = ["Date", "SomeTexts", "Text", "Texts", "WholeSeconds"]
