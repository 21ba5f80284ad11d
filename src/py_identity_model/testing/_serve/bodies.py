"""JSON that people write: read strictly, converted to a shape, and refused with the place and the reason."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from ..._core.base.strict_json import StrictJSONError, loads
from ..._refusals import refused
from ...exceptions import ConfigurationException

T = TypeVar("T")

_WHERE = re.compile(r"^(.*?)(?: - at `(?:key in )?\$\.?(.*?)`)?$", re.DOTALL)
_MEMBER = re.compile(r"field `([^`]+)`")


class Shape(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A JSON object with the members of the class and no others."""


def invalid(code: str, message: str, field: str | None = None, **facts: Any) -> ConfigurationException:
    """Return the refusal of what somebody wrote."""
    return refused(ConfigurationException, code, message, field, **facts)


def read_json(text: bytes | str, what: str = "The body") -> Any:
    """Parse JSON.

    Raises:
        ConfigurationException: It is none, or readers would disagree about it; the hint says where.
    """
    try:
        return loads(text)
    except StrictJSONError as error:
        reason = error.reason
    raise invalid("json_invalid", f"{what} is not usable JSON: {reason}", hint=_place(text))


def _place(text: bytes | str) -> str | None:
    """Return where JSON stops being JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        return None
    return None


def shaped(value: Any, shape: type[T], what: str = "") -> T:
    """Convert a value to a shape.

    Args:
        value: What was read.
        shape: What it must be.
        what: Where it stands, as the beginning of the field's name.

    Raises:
        ConfigurationException: It is not of that shape; ``claim`` names the field.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        told = str(error)
    found = _WHERE.match(told)
    message, path = (found.group(1), found.group(2) or "") if found else (told, "")
    member = _MEMBER.search(message)
    field = ".".join(part for part in (what, path, member.group(1) if member else "") if part)
    raise invalid("field_invalid", f"{message}", field or None)


def read_shape(text: bytes | str, shape: type[T]) -> T:
    """Parse JSON of a shape; nothing at all is an object without members.

    Raises:
        ConfigurationException: It is no JSON of that shape.
    """
    return shaped(read_json(text) if text.strip() else {}, shape)


__all__ = ["Shape", "invalid", "read_json", "read_shape", "shaped"]
