"""What claims are returned as: types that fit are filled, types that never can are refused before any token [B9]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from apis import ISSUER, Api, Provider
from py_identity_model.exceptions import ClaimsValidationError, ConfigurationException


class Model(pydantic.BaseModel):
    sub: str
    exp: int
    scope: tuple[str, ...] = ()

    @pydantic.field_validator("scope", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        if value == "explode":
            raise RuntimeError("canary")
        return value.split(" ") if isinstance(value, str) else value


@pydantic.dataclasses.dataclass
class PydanticData:
    sub: Annotated[str, pydantic.Field(min_length=2)]


class Struct(msgspec.Struct):
    sub: str


@dataclass
class Data:
    sub: str


class Typed(TypedDict):
    sub: str


class Plain:
    sub: str


class Pair(NamedTuple):
    sub: str


GOOD: list[Any] = [Model, PydanticData, Struct, Data, Typed, dict, dict[str, Any], Struct | None, Model | None]
BAD: list[Any] = [
    int,
    str,
    list,
    list[Model],
    tuple,
    Plain,
    Pair,
    bytes,
    7,
    "Model",
    {"sub": str},
    Plain | None,
    object(),
]


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("kind", GOOD, ids=str)
def test_types_that_claims_can_have(api: Api, provider: Provider, engine: str, kind: Any) -> None:
    """Cold, warm and in a batch the claims come as the type asked for."""
    built = api.validator(ISSUER, "api", http_client=provider, engine=engine)
    token = provider.token()
    [listed] = api.call(built.validate_many, [token], kind)
    for found in (*(api.call(built.validate, token, kind) for _ in range(2)), listed):
        assert (found["sub"] if isinstance(found, dict) else found.sub) == "ada"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: "an object" if type(kind) is object else str(kind))
def test_types_that_claims_cannot_have(api: Api, provider: Provider, kind: Any) -> None:
    """A type that no claims fit is a mistake of the program, told before a token is looked at, and no 401."""
    built = api.validator(ISSUER, "api", http_client=provider)
    for token in ("no token at all", provider.token()):
        with pytest.raises(ConfigurationException) as caught:
            api.call(built.validate, token, kind)
        assert (caught.value.code, caught.value.claim) == ("policy_invalid", "type")
    with pytest.raises(ConfigurationException):
        api.call(built.validate_many, [], kind)
    assert provider.requests == []


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("kind", "claims", "where"),
    [
        (Model, {"sub": None, "client_id": "c"}, "$.sub"),
        (Model, {"scope": ["canary", {"canary": 1}]}, "$.scope.1"),
        (Model, {"scope": "explode"}, "RuntimeError"),
        (PydanticData, {"sub": "x"}, "$.sub"),
        (Struct, {"sub": None, "client_id": "c"}, "sub"),
    ],
)
def test_claims_that_do_not_fit(api: Api, provider: Provider, kind: Any, claims: dict[str, Any], where: str) -> None:
    """The refusal says which claim does not fit the type, never what it holds."""
    built = api.validator(ISSUER, "api", http_client=provider)
    with pytest.raises(ClaimsValidationError) as caught:
        api.call(built.validate, provider.token(**claims), kind)
    error = caught.value
    assert (error.code, error.expected) == ("claims_type_mismatch", kind.__name__)
    assert where in str(error)
    assert "canary" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
