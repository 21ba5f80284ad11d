"""Dicts, types and columns of a batch: one verdict for each token, whatever its outcome is returned as."""

from __future__ import annotations

import ast
import base64
import enum
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from apis import ISSUER, NOW, Api
from parts import ENGINES
from py_identity_model import TokenValidator, _arrow
from py_identity_model._core.validation import batch as batch_module
from py_identity_model._core.validation import columns as columns_module
from py_identity_model._core.validation.claim_types import payload_reader
from py_identity_model._core.validation.columns import columns_of
from py_identity_model._core.validation.engine import NativeEngine
from py_identity_model.exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
)
from test_engines import NAMES, ODD, PAYLOADS, SECRET, b64, payload, signed, with_text

ALG = "HS256"
JWK = {"kty": "oct", "k": b64(SECRET), "kid": "k1", "alg": ALG}
#: What native validators are pinned to do in a way that the pure ones cannot.
native = pytest.mark.needs("native engine")


class Person(msgspec.Struct):
    """A type as applications have it; ``a`` is what the hostile payloads change."""

    sub: str
    exp: int
    aud: str | list[str]
    a: Any = None
    scope: str | None = None
    nbf: float | None = None
    jti: str | None = None


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    sub: Annotated[str, msgspec.Meta(max_length=10)]
    iss: Literal["https://id.example.com"]
    exp: Annotated[int, msgspec.Meta(gt=0)]
    iat: int
    aud: str
    b: int = 0


class Inner(msgspec.Struct):
    b: Any = None


class Nested(msgspec.Struct, rename={"inner": "a"}):
    sub: str
    inner: Inner | list[Any] | str | int | float | bool | None = None


@dataclass
class Data:
    sub: str
    exp: float
    a: dict[str, Any] | list[Any] | str | int | float | bool | None = None


class Typed(TypedDict, total=False):
    sub: str
    exp: int
    groups: list[str]


class Again(msgspec.Struct):
    """A type that holds itself."""

    sub: str
    a: Again | list[Again] | None = None


class Colour(enum.Enum):
    RED = "red"


class Numbered(msgspec.Struct):
    """What JSON's names of members could be taken for."""

    sub: str
    a: dict[int, Any] | None = None


KINDS: list[Any] = [Person, Strict, Nested, Data, Typed, Again, Numbered]


@cache
def hostile() -> tuple[str, ...]:
    """Return tokens whose signature is good and whose payload is anything, some good ones among them."""
    payloads = [payload(), *PAYLOADS.values(), payload(groups=["a", "b"]), payload(a={"b": 1}), payload(a={"1": 2})]
    payloads += [payload(a={"sub": "x"}), payload(a=[{"sub": "x", "a": {"sub": 1}}]), payload(aud=["api"])]
    payloads += [payload(**{name: value}) for name in NAMES for value in ODD]
    payloads += [payload(groups=value) for value in ODD]
    payloads += [with_text('"a":1.0'), with_text('"a":1e3'), with_text('"a":123456789012345678'), with_text('"a":null')]
    return tuple(signed(ALG, one) for one in payloads)


@cache
def everyday(count: int = 40) -> tuple[str, ...]:
    """Return good tokens, no two the same, with names in more than one order and company."""
    extra: list[dict[str, Any]] = [{}, {"groups": ["a"]}, {"a": {"b": [1, None, True]}}, {"client_id": "c", "x": "y"}]
    return tuple(signed(ALG, payload(jti=str(number), **extra[number % 4])) for number in range(count))


@pytest.fixture(params=ENGINES)
def build(request: pytest.FixtureRequest, api: Api, clock: Any) -> Callable[..., Any]:
    """Return what builds a validator of this API and engine that knows the header of the tokens."""

    def make(audience: str | None = "api", **options: Any) -> Any:
        validator = api.validator(
            ISSUER, audience, keys={"keys": [JWK]}, algorithms=[ALG], engine=request.param, **options
        )
        api.call(validator.validate, signed(ALG, payload(groups=["a"])))
        return validator

    return make


@cache
def blocking(audience: str | None = "api", **options: Any) -> TokenValidator:
    return TokenValidator(ISSUER, audience, keys={"keys": [JWK]}, algorithms=[ALG], engine="pure", **options)


@cache
def alone(token: Any, kind: Any = None) -> Any:
    """Return what a token comes to by itself: what it is returned as, or what is said of the refusal."""
    return by_itself(blocking(), token, kind)


def by_itself(validator: Any, token: Any, kind: Any = None) -> Any:
    try:
        return told(validator.validate(token, kind))
    except PyIdentityModelException as error:
        return told(error)


def told(outcome: Any) -> Any:
    if isinstance(outcome, PyIdentityModelException):
        return type(outcome).__name__, outcome.code, outcome.claim, outcome.message, outcome.expected
    return repr(outcome)  # which tells 1 from 1.0 and True


# ---- types


def test_hostile_payloads_come_to_the_same_as_dicts_and_as_types(api: Api, build: Any) -> None:
    """Whatever an issuer signs: in a batch a type is filled, or refused, as it is for a token alone."""
    validator = build()
    for kind in [None, *KINDS] if api.name == "sync" else [None, Person]:
        expected = [alone(token, kind) for token in hostile()]
        found = [told(outcome) for outcome in api.call(validator.validate_many, hostile(), kind)]
        assert found == expected, kind


def test_identical_tokens_get_an_instance_each(api: Api, build: Any) -> None:
    """Two places with one token share nothing that can be changed, as dicts and as types."""
    validator, token = build(), signed(ALG, payload(groups=["a"], a=[{"sub": "x"}]))
    for kind in (None, Typed, dict, Person):
        one, other = api.call(validator.validate_many, [token, *everyday(), token], kind)[:: len(everyday()) + 1]
        assert one == other
        assert one is not other
        if kind is Person:
            assert one.a is not other.a
        else:
            one["groups"].append("b")
            assert other["groups"] == ["a"]


def test_everyday_tokens_of_several_shapes_come_as_they_are(api: Api, build: Any) -> None:
    """Dicts made from one another hold what each token says: every claim, its own lists, in its own order."""
    validator = build()
    outcomes = api.call(validator.validate_many, everyday())
    for token, outcome in zip(everyday(), outcomes, strict=True):
        said = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert list(outcome.items()) == list(said.items())
        outcome.clear()
    assert api.call(validator.validate_many, everyday())[3]["client_id"] == "c"


@native
def test_no_token_gets_a_claim_of_the_one_before(api: Api, build: Any) -> None:
    """Whatever kind of value a claim had in the tokens before, each token has its own, and shares none with another."""
    values: list[Any] = ["x", ["x", "y"], None, 7, True, {"k": "v"}, "y", "", 0, False, [], {}]
    changing = [values[0], *(value for pair in itertools.permutations(values, 2) for value in (*pair, pair[0]))]
    claims = [{"roles": value, "jti": str(at), "groups": value} for at, value in enumerate(changing)]
    tokens = [signed(ALG, payload(**each)) for each in claims]
    validator = build()
    api.call(validator.validate, tokens[0])
    alone = [api.call(validator.validate, token) for token in tokens]
    outcomes = api.call(validator.validate_many, tokens)
    for wanted, found in zip(alone, outcomes, strict=True):
        assert found == wanted
        assert list(map(type, found.values())) == list(map(type, wanted.values()))
    mutable = [value for found in outcomes for value in found.values() if isinstance(value, list | dict)]
    assert len(set(map(id, mutable))) == len(mutable)


def test_a_type_is_read_without_a_dict(api: Api, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good tokens go from their payload to the type; a validator of the application's has them go by a dict."""
    validator = api.validator(ISSUER, "api", keys={"keys": [JWK]}, algorithms=[ALG], engine="native")
    api.call(validator.validate, everyday()[0])
    converted: list[Any] = []
    inner = batch_module.converter

    def counting(kind: Any) -> Any:
        convert = inner(kind)

        def counted(claims: Any) -> Any:
            converted.append(claims)
            return convert(claims)

        return counted

    monkeypatch.setattr(batch_module, "converter", counting)
    assert [one.jti for one in api.call(validator.validate_many, everyday(), Person)] == [str(n) for n in range(40)]
    assert converted == []
    monkeypatch.setattr(validator._validator, "asks", True)
    api.call(validator.validate_many, everyday(), Person)
    assert len(converted) == 40


class Pair(NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    "annotation",
    [dict[int, str], Decimal, uuid.UUID, datetime, bytes, msgspec.Raw, Colour, Pair, tuple[int, str], list[Decimal]],
    ids=str,
)
def test_types_that_could_be_read_two_ways_go_by_a_dict(annotation: Any) -> None:
    """A member of a type that JSON and dicts could be read differently for takes the whole type the long way."""
    kind = msgspec.defstruct("Kind", [("sub", str), ("a", annotation | None)])
    assert payload_reader(kind) is None
    assert payload_reader(msgspec.defstruct("Outer", [("inner", list[kind])])) is None  # type: ignore[valid-type]


def test_types_that_are_read_one_way_are_read_directly() -> None:
    """Types as applications have them need no dict; unions, bare dicts and pydantic models do."""
    assert all(payload_reader(kind) for kind in (Person, Strict, Nested, Data, Typed, Again))
    assert not any(payload_reader(kind) for kind in (Person | None, dict, dict[str, Any], Numbered))


# ---- what else is asked of a token

ASKED: dict[str, dict[str, Any]] = {
    "an application's validator": {"claims_validator": lambda claims: claims.pop("a", None)},
    "a claim that must be there": {"required_claims": ("groups",)},
    "the one subject": {"subject": "ada"},
    "an age": {"max_token_age": 60},
    "any audience": {"accept_any_audience": True},
    "a leeway": {"leeway": 30},
}


@pytest.mark.parametrize("name", ASKED)
def test_whatever_else_is_asked_is_asked_in_every_form(api: Api, build: Any, name: str) -> None:
    """Options of the validator decide the same for dicts, for types and for columns."""
    options = ASKED[name]
    audience = None if "accept_any_audience" in options else "api"
    validator, reference = build(audience, **options), blocking(audience, **options)
    tokens = [*everyday(8), *(signed(ALG, payload(groups=value)) for value in (None, [], "a"))]
    tokens += [signed(ALG, payload(exp=NOW - 10)), signed(ALG, payload(sub="eve")), signed(ALG, payload(aud="x"))]
    tokens += [signed(ALG, payload(iat=NOW - 100))]
    expected = [by_itself(reference, token, Person) for token in tokens]
    assert [told(outcome) for outcome in api.call(validator.validate_many, tokens, Person)] == expected
    codes = [one[1] if isinstance(one, tuple) else None for one in expected]
    if _has_pyarrow():
        assert api.call(validator.validate_columns, tokens).to_pydict()["code"] == codes


def test_revoked_tokens_are_refused_in_every_form(api: Api, build: Any) -> None:
    """A mark on one token holds in a batch, whatever the batch returns."""
    validator = build()
    api.call(validator.revoke, jti="3")
    for kind in (None, Person):
        codes = [getattr(one, "code", None) for one in api.call(validator.validate_many, everyday(), kind)]
        assert codes == [None] * 3 + ["token_revoked"] + [None] * 36
    if _has_pyarrow():
        assert api.call(validator.validate_columns, everyday()).to_pydict()["code"] == codes


def test_a_meter_counts_in_every_form(api: Api, build: Any) -> None:
    """Somebody who counts validations is told of each one."""
    validator = build()
    meter = validator._metered()
    api.call(validator.validate_many, everyday(), Person)
    assert meter.outcomes()[ISSUER, "valid"] == 40
    if _has_pyarrow():
        api.call(validator.validate_columns, everyday())
        assert meter.outcomes()[ISSUER, "valid"] == 80


# ---- columns


def _has_pyarrow() -> bool:
    try:
        _arrow.pyarrow()
    except ConfigurationException:
        return False
    return True


arrow = pytest.mark.needs("pyarrow")
WANTED: dict[str, Any] = {
    "sub": str,
    "exp": int,
    "nbf": float,
    "a": str,
    "aud": list[str],
    "groups": list[str],
    "jti": str,
    "none": bool,
}


def row_of(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the row that valid claims come to: the slow way, for comparison."""
    row, misfits = {}, {}
    for name, kind in WANTED.items():
        value = claims.get(name)
        fits = {
            str: type(value) is str,
            int: type(value) is int and -(2**63) <= value < 2**63,
            float: type(value) is float or (type(value) is int and abs(value) <= 2**53),
            bool: type(value) is bool,
            list[str]: isinstance(value, list) and all(isinstance(item, str) for item in value),
        }[kind]
        if name == "aud" and isinstance(value, str):
            value, fits = [value], True
        row[name] = (float(value) if kind is float else value) if fits else None  # type: ignore[arg-type]
        if not fits and name in claims:
            misfits[name] = value
    return {**row, "misfits": misfits or None}


@arrow
def test_hostile_payloads_come_to_the_same_as_dicts_and_as_columns(api: Api, build: Any) -> None:
    """Whatever an issuer signs: verdict, code and claims stand in columns as in dicts, and nothing is lost."""
    validator = build()
    tokens = [*hostile(), *everyday(), "garbage", None, 5, "", everyday()[0] + "A", *hostile()[:30]]
    rows = api.call(validator.validate_columns, tokens, WANTED).to_pylist()
    for token, row in zip(tokens, rows, strict=True):
        said = alone(token)
        if isinstance(said, tuple):
            expected = dict.fromkeys(row) | {"verdict": "refused", "code": said[1]}
        else:
            expected = {"verdict": "valid", "code": None, **row_of(ast.literal_eval(said))}
        row["misfits"] = None if row["misfits"] is None else json.loads(row["misfits"])
        assert repr(row) == repr(expected)


@arrow
def test_tokens_from_arrow_are_judged_as_those_from_a_list(api: Api, build: Any) -> None:
    """Arrays, slices of them, arrays in parts, with nulls, of other kinds of strings: the same table."""
    import pyarrow

    validator = build()
    tokens = [None, *everyday(), "", "garbage", "é", everyday()[0] + "A", hostile()[1], None]
    expected = api.call(validator.validate_columns, tokens, WANTED)
    array = pyarrow.array(["x", *tokens, "y"], pyarrow.string())[1:-1]
    parts = pyarrow.chunked_array([array[:7], array[7:7], array[7:]])
    kinds = [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())]
    if hasattr(pyarrow, "string_view"):
        kinds.append(pyarrow.string_view())
    for given in (array, parts, *(array.cast(kind) for kind in kinds)):
        assert api.call(validator.validate_columns, given, WANTED).to_pylist() == expected.to_pylist()
    for empty in ([], array[:0], pyarrow.array([], pyarrow.null())):
        table = api.call(validator.validate_columns, empty, WANTED)
        assert (table.num_rows, table.column_names) == (0, expected.column_names)
    behind = pyarrow.Array.from_buffers(  # a null that hides a good token
        pyarrow.string(), 1, [pyarrow.py_buffer(b"\0"), *pyarrow.array([everyday()[0]]).buffers()[1:]]
    )
    assert api.call(validator.validate_columns, behind).to_pydict()["verdict"] == ["refused"]


@arrow
def test_windows_do_not_show(api: Api, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is the same whatever the size of the windows that it was made of, from any source of tokens."""
    tokens = [*everyday(), hostile()[1], *everyday()]
    validator = build()
    whole = api.call(validator.validate_columns, tokens, ["sub", "jti"])
    assert whole.column_names == ["verdict", "code", "sub", "jti", "misfits"]
    sources: list[Any] = [iter(tokens), _arrow.pyarrow().array(tokens)]
    monkeypatch.setattr(columns_module, "COLUMN_WINDOW", 7)
    monkeypatch.setattr(_arrow.token_windows, "__defaults__", (7,))

    async def arriving() -> AsyncIterator[str]:
        for token in tokens:
            yield token

    sources += [] if api.name == "sync" else [arriving()]
    for source in sources:
        assert api.call(validator.validate_columns, source, ["sub", "jti"]).to_pydict() == whole.to_pydict()


@arrow
def test_what_was_not_verified_is_no_refusal(api: Api, build: Any) -> None:
    """A token whose issuer cannot be asked is unverified in its column too."""

    table = api.call(build().validate_columns, [])
    assert table.column_names == ["verdict", "code"]
    assert columns_module.said_of(NetworkException("gone", code="x")) == ("unverified", "x")
    assert columns_module.said_of(ClaimsValidationError("no"))[0] == "refused"
    assert columns_module.said_of({}) == ("valid", None)


@native
@arrow
def test_columns_are_made_without_a_dict(api: Api, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good tokens of the native engine never become dicts; those that do not fit a column do, and only those."""
    validator = api.validator(ISSUER, "api", keys={"keys": [JWK]}, algorithms=[ALG], engine="native")
    api.call(validator.validate, everyday()[0])
    seen: list[Any] = []
    inner = columns_module.row_of

    def counting(claims: Any, columns: Any) -> Any:
        seen.append(claims)
        return inner(claims, columns)

    monkeypatch.setattr(_arrow, "row_of", counting)
    assert set(api.call(validator.validate_columns, everyday(), ["sub"]).to_pydict()["sub"]) == {"ada"}
    assert seen == []
    odd = signed(ALG, payload(jti="odd", groups="a"))
    found = api.call(validator.validate_columns, [*everyday(), odd], {"groups": list[str]}).to_pylist()[-1]
    assert (found["groups"], found["misfits"], len(seen)) == (None, '{"groups":"a"}', 1)


@pytest.mark.parametrize("claims", ["sub", b"sub", 5, None, ["sub", "sub"], ["verdict"], ["code"], ["misfits"], [5]])
def test_names_that_are_no_columns_are_refused(claims: Any) -> None:
    """Names of claims are strings, each once, and none of the table's own columns."""
    with pytest.raises(ConfigurationException) as caught:
        columns_of(claims)
    assert (caught.value.code, caught.value.claim) == ("policy_invalid", "claims")


@pytest.mark.parametrize("kind", [bytes, list, list[int], "str", None, dict, [str]])
def test_types_that_are_no_columns_are_refused(kind: Any) -> None:
    """There are five types of columns."""
    with pytest.raises(ConfigurationException):
        columns_of({"a": kind})
    with pytest.raises(ConfigurationException):
        columns_of([str(number) for number in range(101)])


def test_usual_types_are_known() -> None:
    """Dates are integers, aud is a list, other claims are text unless somebody says what they are."""
    assert columns_of(iter(["exp", "aud", "email_verified", "x"])) == (
        ("exp", "int"),
        ("aud", "list[str]"),
        ("email_verified", "bool"),
        ("x", "str"),
    )


@arrow
def test_what_is_no_source_of_tokens_is_refused(api: Api, build: Any) -> None:
    """A token instead of many, and arrays of anything but strings, are mistakes of the caller."""
    validator = build()
    for source in ("token", 5, _arrow.pyarrow().array([1, 2]), _arrow.pyarrow().array([b"x"])):
        with pytest.raises(ConfigurationException) as caught:
            api.call(validator.validate_columns, source)
        assert caught.value.claim == "tokens"


def test_columns_need_pyarrow(api: Api, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error has the line that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationException) as caught:
        api.call(build().validate_columns, [])
    assert (caught.value.code, caught.value.hint) == ("extra_missing", "pip install 'py-identity-model[parquet]'")


# ---- an engine of an earlier release


class Older:
    """A native module whose Opener has no columns and leaves nulls to Python."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.ALGORITHMS, self.Key = module.ALGORITHMS, module.Key

        class Opener:
            def __init__(self, keys: Any, terms: Any = None) -> None:
                self._inner = module.Opener(keys, terms)
                self.read, self.read_many = self._inner.read, self._inner.read_many

        self.Opener = Opener


@native
@arrow
def test_an_older_native_engine_goes_by_dicts(api: Api, clock: Any) -> None:
    """With a native engine that lacks the new ways every form has the old way's outcomes."""
    import py_identity_model_native

    validator = api.validator(ISSUER, "api", keys={"keys": [JWK]}, algorithms=[ALG], engine="native")
    expected = api.call(validator.validate_columns, [*everyday(), *hostile()], WANTED).to_pydict()
    older = NativeEngine(Older(py_identity_model_native))
    validator._validator.engine = validator._validator.only.engine = older
    validator._validator.only.snapshot = None
    api.call(validator.validate, everyday()[0])
    assert api.call(validator.validate_columns, [*everyday(), *hostile()], WANTED).to_pydict() == expected
    assert api.call(validator.validate_many, everyday(), Person)[1].jti == "1"
