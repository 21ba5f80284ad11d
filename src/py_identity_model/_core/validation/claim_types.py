"""Types that claims can be returned as: msgspec Structs, dataclasses, TypedDicts, pydantic models where installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from types import UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

import msgspec

from ..._written import written
from ...exceptions import ClaimsValidationError, ConfigurationException, printable
from .claim_checks import Claims

#: Makes of claims what a caller asked for.
Converter: TypeAlias = Callable[[Claims], Any]
#: The same of the payload of a token whose claims are good; None where :data:`Converter` has to be asked.
PayloadReader: TypeAlias = Callable[[bytes], Any]

_OBJECTS = (
    msgspec.inspect.StructType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.TypedDictType,
    msgspec.inspect.DictType,
    msgspec.inspect.AnyType,
)
#: Types of values, and of the names of members, that are read one way.
_NAMES = (msgspec.inspect.AnyType, msgspec.inspect.StrType)
_LEAVES = (
    *_NAMES,
    msgspec.inspect.BoolType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.NoneType,
    msgspec.inspect.LiteralType,
)


def converter(kind: Any) -> Converter:
    """Return what makes an instance of *kind* of claims, and raises ``claims_type_mismatch`` where they do not fit.

    Raises:
        ConfigurationException: It is no type that claims can have.
    """
    try:
        return _converter(kind)
    except TypeError:  # it cannot be hashed, so it is no type
        raise _unfit(kind) from None


@lru_cache(maxsize=256)
def _converter(kind: Any) -> Converter:
    if _is_pydantic(kind):
        return partial(_by_pydantic, import_module("pydantic").TypeAdapter(kind), _named(kind))
    if isinstance(kind, int | float) or not _is_object(kind):
        raise _unfit(kind)
    return partial(_by_msgspec, kind, _named(kind))


@lru_cache(maxsize=256)
def payload_reader(kind: Any) -> PayloadReader | None:
    """Return what reads *kind* from plain JSON without a dict between; None where that could be read differently.

    msgspec makes the same of JSON as of what was read from it, as long as there is one way to read a value: it
    takes the names of members for numbers where a dict has numbers as keys, and has types that only JSON has.
    """
    if _is_pydantic(kind) or _parts(kind):
        return None
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, _OBJECTS[:3]) or not _reads_alike(info, []):
        return None
    return partial(_read, msgspec.json.Decoder(kind).decode)


def _read(decode: Callable[[bytes], Any], payload: bytes) -> Any:
    try:
        return decode(payload)
    except msgspec.DecodeError:  # what does not fit is told of by who converts claims
        return None


def _reads_alike(info: msgspec.inspect.Type, seen: list[msgspec.inspect.Type]) -> bool:
    """Tell whether every value that *info* holds is of a type that is read one way; *seen* holds it already."""
    if any(info is one for one in seen):
        return True
    seen.append(info)
    if isinstance(info, _OBJECTS[:3]):
        return all(_reads_alike(field.type, seen) for field in info.fields)
    if isinstance(info, msgspec.inspect.DictType):
        return type(info.key_type) in _NAMES and _reads_alike(info.value_type, seen)
    if isinstance(info, msgspec.inspect.UnionType):
        return all(_reads_alike(one, seen) for one in info.types)
    if isinstance(info, msgspec.inspect.CollectionType):
        return _reads_alike(info.item_type, seen)
    return isinstance(info, _LEAVES)


def _unfit(kind: Any) -> ConfigurationException:
    return ConfigurationException(
        "type must be a msgspec Struct, a dataclass, a TypedDict or a pydantic model",
        code="policy_invalid",
        claim="type",
        expected="a msgspec Struct, a dataclass, a TypedDict or a pydantic model",
        actual=printable(_named(kind)),
    )


def _named(kind: Any) -> str:
    return str(getattr(kind, "__name__", None) or written(kind))


def _parts(kind: Any) -> tuple[Any, ...]:
    """Return the types that *kind* is one of, if it is several."""
    if get_origin(kind) is Annotated:
        return get_args(kind)[:1]
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else ()


def _is_pydantic(kind: Any) -> bool:
    # Models have it, and the dataclasses of pydantic, whose validators msgspec would not run.
    return hasattr(kind, "__pydantic_validator__") or any(map(_is_pydantic, _parts(kind)))


def _is_object(kind: Any) -> bool:
    parts = _parts(kind)
    if parts:
        return any(map(_is_object, parts))
    try:
        return isinstance(msgspec.inspect.type_info(kind), _OBJECTS)
    except (TypeError, AttributeError, NameError):  # a type with members that msgspec does not know, or no type at all
        return False


def _by_msgspec(kind: Any, name: str, claims: Claims) -> Any:
    try:
        return msgspec.convert(claims, kind)
    except msgspec.ValidationError as error:
        said = str(error)
    raise _mismatch(name, said)


def _by_pydantic(adapter: Any, name: str, claims: Claims) -> Any:
    try:
        return adapter.validate_python(claims)
    except Exception as error:  # pydantic's own, or whatever a model's validators raise: foreign code, and a refusal
        said = _said(error)
    raise _mismatch(name, said)


def _said(error: Exception) -> str:
    """Return where and why claims do not fit, and never what they are."""
    listed: Any = getattr(error, "errors", None)
    faults: Any = listed(include_input=False, include_url=False) if callable(listed) else ()
    first = next(iter(faults), None)
    if first is None:
        return type(error).__name__
    return f"{first['msg']} - at `$.{'.'.join(map(str, first['loc']))}`"


def _mismatch(name: str, said: str) -> ClaimsValidationError:
    return ClaimsValidationError(
        f"The claims do not fit {printable(name)}: {printable(said)}",
        code="claims_type_mismatch",
        expected=printable(name),
    )


__all__ = ["Converter", "PayloadReader", "converter", "payload_reader"]
