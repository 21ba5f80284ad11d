"""Arguments of the wrong type, and texts that no codec takes: the caller hears of its mistake from us, by name."""

from __future__ import annotations

import asyncio
import decimal
import enum
import inspect
import os
import pickle
import traceback
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from py_identity_model import ConfigurationException, InboundRequest, PyIdentityModelException
from py_identity_model._arguments import checks_arguments, explanation
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.jws import half_hash, sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import printable

#: Half a character: JSON can carry it, and no codec takes it. Errors of codecs hold the whole text.
HALF = "\ud800canary"
WRONG: list[Any] = [5, None, b"x", HALF, object(), [], {}, 1.5, "x", [5], {"a": 5}, True, [HALF], {HALF: HALF}]
DOORS = {"sync": blocking, "aio": awaitable}


def required(function: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def functions() -> Iterator[Any]:
    """Yield every public function, and every class that is no mere list of names."""
    for door, module in DOORS.items():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and required(value):
                yield pytest.param(value, id=f"{door}-{name}")


def methods() -> Iterator[Any]:
    """Yield the constructors and other class methods of every public class."""
    for name in blocking.__all__:
        cls = getattr(blocking, name)
        plain = isinstance(cls, type) and not issubclass(cls, BaseException | enum.Enum)
        if not plain or issubclass(cls, dict) or inspect.isabstract(cls) or getattr(cls, "_is_protocol", False):
            continue
        if name == "ClientAssertionValidatorBase":  # nobody builds what both APIs have in common alone
            continue
        yield pytest.param(cls, id=name)
        for member, value in inspect.getmembers(cls, inspect.ismethod):
            if not member.startswith("_") and required(value):
                yield pytest.param(value, id=f"{name}.{member}")


def attempt(function: Any, wrong: Any) -> None:
    """Call with this value in every required place; what is raised is ours and holds nothing of it."""
    wanted = required(function)
    args = [wrong for p in wanted if p.kind is not p.KEYWORD_ONLY]
    kwargs = {p.name: wrong for p in wanted if p.kind is p.KEYWORD_ONLY}
    try:
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        if inspect.isgenerator(result):
            list(islice(result, 2))
    except PyIdentityModelException as error:
        leaked = isinstance(error.__context__, UnicodeError)
    else:
        leaked = False
    assert not leaked


@pytest.mark.parametrize("function", list(functions()))
def test_a_wrong_argument_is_told_as_the_mistake_of_the_caller(function: Any) -> None:
    """No AttributeError or TypeError from deep inside, no UnicodeEncodeError that holds a secret."""
    for wrong in WRONG:
        attempt(function, wrong)


@pytest.mark.parametrize("function", list(methods()))
def test_a_class_is_as_careful(function: Any) -> None:
    """The same for what makes objects."""
    for wrong in WRONG:
        attempt(function, wrong)


def test_the_argument_is_named() -> None:
    """The message says which argument, what it must be and what came; never its value."""
    response = blocking.parse_authorize_callback_response("https://app.example.com/cb?code=c&state=s")
    with pytest.raises(ConfigurationException) as caught:
        blocking.validate_authorize_callback_state(response, 5)  # type: ignore[arg-type] # that is the point
    assert (caught.value.code, caught.value.claim) == ("argument_invalid", "expected_state")
    assert str(caught.value) == "expected_state must be str or None, got int"


def test_a_field_of_a_request_is_named() -> None:
    """Fields of requests, and what lists in them hold, are arguments like any other."""
    request = blocking.ClientCredentialsTokenRequest("https://id.example.com/token", "c", HALF)
    for function, call in ((blocking, lambda f: f(request)), (awaitable, lambda f: asyncio.run(f(request)))):
        try:
            response = call(function.request_client_credentials_token)  # type: ignore[attr-defined] # both doors have it
        except ConfigurationException as error:
            response = None
            shown = "".join(traceback.format_exception(error))
        else:
            shown = "".join(traceback.format_exception(response.exception))
        assert response is None or not response.is_successful
        assert "canary" not in shown


def test_arguments_that_are_gathered_are_checked_one_by_one() -> None:
    """Behind ``*numbers: int`` each must be a number, behind ``**texts: str`` each a text."""

    @checks_arguments
    def gather(*numbers: int, **texts: str | None) -> tuple[object, ...]:
        return numbers, texts

    assert gather(1, 2, resource="https://api.example.com", audience=None) == (
        (1, 2),
        {"resource": "https://api.example.com", "audience": None},
    )
    for args, kwargs, claim in (((1, "2"), {}, "a member of numbers"), ((), {"resource": 5}, "a value of texts")):
        with pytest.raises(ConfigurationException) as caught:
            gather(*args, **kwargs)  # type: ignore[arg-type] # that is the point
        assert (caught.value.code, caught.value.claim) == ("argument_invalid", claim)


def test_a_missing_argument_is_left_to_python() -> None:
    """The plain TypeError of a call that cannot be made says it best."""
    with pytest.raises(TypeError, match="missing"):
        blocking.validate_authorize_callback_state()  # type: ignore[call-arg] # that is the point


def test_errors_of_callbacks_are_left_alone() -> None:
    """What a function of the application raises is its own, as long as the arguments are what they must be."""

    def function(text: str, number: int | None = None) -> None: ...

    assert explanation(function, ("x",), {}, TypeError("theirs")) is None
    assert explanation(function, ("x", 5), {}, KeyError("theirs")) is None
    assert explanation(function, ("x", "5"), {}, TypeError("ours")) is not None


def test_functions_stay_what_they_were() -> None:
    """A public function keeps its name, signature and module, is awaitable where it was, and can be pickled."""
    assert inspect.iscoroutinefunction(awaitable.get_jwks)
    assert not inspect.iscoroutinefunction(blocking.get_jwks)
    assert list(inspect.signature(blocking.get_jwks).parameters) == ["jwks_request", "http_client", "refresh"]
    assert pickle.loads(pickle.dumps(blocking.get_jwks)) is blocking.get_jwks


# ---- values that cannot even be shown, and errors that show too much

ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
DEEP: Any = None
for _ in range(5000):
    DEEP = [DEEP]
HUGE = 10**5000


class Mute:
    """A value whose ``repr`` fails."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, DEEP, {"a": HUGE}, Mute()], ids=["huge", "negative", "deep", "in", "mute"]
)
def test_a_value_that_cannot_be_shown_is_refused_all_the_same(value: Any) -> None:
    """Thousands of digits, lists deeper than the stack and a broken repr: the refusal is ours and says the type."""
    assert type(value).__name__ in printable(value)
    assert len(printable(value)) < 300
    with pytest.raises(ConfigurationException):
        blocking.TokenValidator("https://id.example.com", "api", leeway=value)
    with pytest.raises(ConfigurationException):
        blocking.validate_token("a.b.c", blocking.TokenValidationConfig(perform_disco=True, audience="a"), value)


@pytest.mark.parametrize("claims", [{"a": HUGE}, {"a": DEEP}, {"a": ENDLESS}], ids=["huge", "deep", "endless"])
def test_claims_that_cannot_be_written_are_refused(claims: Any) -> None:
    """No token carries them, but a program may make them up."""
    with pytest.raises(ConfigurationException) as caught:
        blocking.to_principal(claims)
    assert caught.value.code == "argument_invalid"


@pytest.mark.parametrize("url", ["https://[::1", "https://a:99999/", "https://h:\u0663/", 5, b"\xff", True, []])
def test_an_address_that_is_none_has_no_origin(url: Any) -> None:
    """A port out of range, half an IPv6 address, no text: in a store of nonces, and as the issuer of a request."""
    for act in (lambda: blocking.NonceStore().get(url), lambda: blocking.NonceStore().remember(url, "n")):
        with pytest.raises(ConfigurationException):
            act()
    request = blocking.RefreshTokenRequest("https://id.example.com/token", "c", "r", issuer=url)
    try:
        response = blocking.refresh_token(request, lambda request: Reply(400))
    except ConfigurationException:
        return
    assert not response.is_successful


def leaking(function: Any) -> Iterator[BaseException]:
    """Yield what is raised by a call, and all that it refers to."""
    with pytest.raises(PyIdentityModelException) as caught:
        function()
    error: BaseException | None = caught.value
    while error is not None:
        yield error
        error = error.__context__


SECRETIVE = {
    "an access token and its hash": lambda: half_hash("ES256", "tok\u00e9n"),
    "claims of an assertion": lambda: sign_compact({"a": HALF}, SigningKey.generate("ES256")),
    "the key of a certificate": lambda: blocking.fapi_tls_context(certificate=HALF, private_key=HALF),
    "a password": lambda: blocking.fapi_tls_context(certificate="/none", private_key="/none", password=HALF),
    "a bundle": lambda: blocking.fapi_tls_context(HALF),
}


@pytest.mark.parametrize("what", SECRETIVE)
def test_no_error_of_a_codec_is_kept_as_a_context(what: str) -> None:
    """UnicodeEncodeError holds the whole text, which may be a token or a key; logs and debuggers show contexts (A2)."""
    assert not [error for error in leaking(SECRETIVE[what]) if isinstance(error, UnicodeError)]


@pytest.mark.parametrize("value", [5, None, True, {}, [], 1.5, decimal.Decimal(5), int, os])
def test_methods_of_values_explain_too(value: Any) -> None:
    """A wrong argument of a method is told as one, whatever its type is called by Python."""
    challenge = blocking.Challenge("Bearer", (("realm", "x"),))
    for act in (
        lambda: challenge.has_scheme(value),
        lambda: blocking.ProxyPolicy().external(value),
        lambda: blocking.resolve_mtls_endpoint(value, "token_endpoint"),
    ):
        with pytest.raises(ConfigurationException):
            act()


def test_the_name_of_a_header_is_text() -> None:
    """A number is no name."""
    with pytest.raises(ConfigurationException):
        blocking.InboundRequest("GET", "https://api.example.com/").header_values(5)  # type: ignore[arg-type] # so it is


@pytest.mark.parametrize("seconds", [HUGE, -HUGE, 2**40], ids=["huge", "less", "long"])
def test_seconds_that_no_header_can_carry(seconds: int) -> None:
    """A time to live of thousands of digits is refused, not written."""
    document = {"client_id": "https://app.example.com/c", "redirect_uris": ["https://app.example.com/cb"]}
    with pytest.raises(ConfigurationException):
        blocking.serve_client_metadata_document(document, max_age=seconds)
    metadata = blocking.ProtectedResourceMetadata(resource="https://api.example.com/")
    with pytest.raises(ConfigurationException):
        blocking.serve_resource_metadata(metadata, max_age=seconds)


@pytest.mark.parametrize(
    "expected", [{"asked_at": HALF}, {"asked_at": HUGE}, {"asked_at": 1j}, {"hashes_required": 0}], ids="abcd"
)
def test_what_a_login_expects_is_checked_before_its_token(expected: Any) -> None:
    """A wrong expectation is the application's mistake, and no token is looked at."""
    validator = blocking.TokenValidator("https://id.example.com", "app", kind="id_token")
    with pytest.raises(ConfigurationException) as caught:
        validator.validate("a.b.c", **expected)
    assert caught.value.claim == next(iter(expected))


# ---- what only keeps its arguments

TEMPLATE = "https://id.example.com/{tenant}"
VALIDATOR = blocking.TokenValidator("https://id.example.com", "api")
KEEPERS: dict[str, Any] = {
    "claims": lambda: blocking.AuthenticatedPrincipal(5),  # type: ignore[arg-type] # so are all of these
    "rules": lambda: blocking.AuthenticatedPrincipal({}, rules=5),  # type: ignore[arg-type]
    "role": lambda: blocking.AuthenticatedPrincipal({}).is_in_role([]),  # type: ignore[arg-type]
    "roles": lambda: blocking.PrincipalRules(roles=5),  # type: ignore[arg-type]
    "scope_hierarchy": lambda: blocking.PrincipalRules(scope_hierarchy=5),  # type: ignore[arg-type]
    "granted": lambda: blocking.PrincipalRules(scope_hierarchy={"a": "b"}).implied(5),  # type: ignore[arg-type]
    "load_user": lambda: blocking.ResourceServer(VALIDATOR, load_user=True),  # type: ignore[arg-type]
    "on_refusal": lambda: blocking.ResourceServer(VALIDATOR, on_refusal=True),  # type: ignore[arg-type]
    "store": lambda: blocking.ResourceServer(VALIDATOR, store=5),  # type: ignore[arg-type]
    "claim": lambda: blocking.IssuerTemplate(TEMPLATE, allowed={"a"}, claim=[]),  # type: ignore[arg-type]
    "metadata_issuer": lambda: blocking.TrustedIssuer(
        "https://id.example.com",
        metadata_issuer=frozenset(),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("what", KEEPERS)
def test_what_only_keeps_an_argument_looks_at_it_at_once(what: str) -> None:
    """A wrong argument is refused where it is given, and not by the first request that needs it."""
    with pytest.raises(ConfigurationException) as caught:
        KEEPERS[what]()
    assert caught.value.claim == what


def test_what_a_class_can_use_it_takes() -> None:
    """A list where a set is kept becomes one, as ever."""
    kind = blocking.Kind("mine", types=["a"], required=["sub"])  # type: ignore[arg-type] # that is the point
    assert kind.types == frozenset({"a"})


@pytest.mark.parametrize("value", [DEEP, 5, {"a": DEEP}, HALF], ids=["deep", "number", "mapping", "half"])
@pytest.mark.parametrize("name", ["audience", "algorithms", "options", "discovery_policy", "key", "issuer"])
def test_a_configuration_of_anything(name: str, value: Any) -> None:
    """Whatever stands in a TokenValidationConfig: lists deeper than the stack, another type, half a character."""
    config = blocking.TokenValidationConfig(**{"perform_disco": True, "audience": "api", name: value})
    with pytest.raises(PyIdentityModelException):
        blocking.validate_token("a.b.c", config, "https://id.example.com", http_client=lambda _: Reply(500))


@pytest.mark.parametrize("type", [HUGE, DEEP, {"a": 1}, "x", []], ids=["huge", "deep", "mapping", "text", "list"])
def test_the_type_of_claims_is_one(type: Any) -> None:
    """A number of thousands of digits is no type, nor are lists."""
    with pytest.raises(ConfigurationException):
        VALIDATOR.validate("a.b.c", type=type)


def test_a_file_that_cannot_have_its_name() -> None:
    """A zero byte in a path is told as a file that cannot be read."""
    with pytest.raises(ConfigurationException) as caught:
        blocking.TokenValidator("https://id.example.com", "api", keys=Path("\0"))
    assert caught.value.code == "keys_unreadable"


def test_a_message_can_be_printed() -> None:
    """Half a character in a text that a message repeats is written out."""
    with pytest.raises(PyIdentityModelException) as caught:
        blocking.DiscoveryPolicy().parse_url("http://a.example/", HALF)
    assert str(caught.value).encode()


@pytest.mark.parametrize("pairs", [bytearray(b"ab"), [bytearray(b"ab")], [("a",)], 5], ids="abcd")
def test_bytes_are_no_pairs(pairs: Any) -> None:
    """Bytes can be gone through, and each of them is a number and no pair."""
    with pytest.raises(PyIdentityModelException):
        blocking.InboundRequest.build("GET", "https://api.example.com/", pairs)
    with pytest.raises(PyIdentityModelException):
        blocking.parse_front_channel_logout(pairs)


def test_a_number_is_no_certificate() -> None:
    """``bytes(2**31)`` would be two thousand million zeros."""
    with pytest.raises(PyIdentityModelException):
        blocking.build_certificate_jwk(2**31)  # type: ignore[arg-type] # that is the point


# ---- headers of frameworks


class Headers:
    """Headers like those of werkzeug: pairs, and no Mapping."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def items(self) -> Iterator[tuple[str, str]]:
        yield from self._pairs


PAIRS = [("DPoP", "a"), ("Authorization", "DPoP t"), ("dpop", "b")]


@pytest.mark.parametrize(
    "headers",
    [
        PAIRS,
        tuple(PAIRS),
        iter(PAIRS),
        Headers(PAIRS),
        Headers(PAIRS).items(),
        [(name.encode(), value.encode()) for name, value in PAIRS],
        [[name, value] for name, value in PAIRS],
    ],
    ids=["list", "tuple", "iterator", "headers", "items", "asgi", "lists"],
)
def test_headers_come_as_frameworks_have_them(headers: Any) -> None:
    """``headers.items()`` of Flask, Django, werkzeug and Starlette, raw headers of ASGI, and headers themselves."""
    request = InboundRequest.build("GET", "https://api.example.com/", headers)
    assert request.header_values("dpop") == ["a", "b"]


def test_headers_of_a_mapping_and_its_items() -> None:
    """A dict and the view of its items are the same."""
    given = {"DPoP": "a"}
    assert InboundRequest.build("GET", "https://a.example/", given.items()).headers == (("DPoP", "a"),)
    assert InboundRequest.build("GET", "https://a.example/", given).headers == (("DPoP", "a"),)


@pytest.mark.parametrize("headers", [5, None, "ab", ["ab"], [("a",)], [("a", 5)], [5], b"ab", {"a": 5}])
def test_headers_that_are_none(headers: Any) -> None:
    """Whatever is no pairs of text is the caller's mistake."""
    with pytest.raises(ConfigurationException):
        InboundRequest.build("GET", "https://api.example.com/", headers)


# ---- any values at all

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
fuzz = settings(
    max_examples=int(EXAMPLES or 60),
    deadline=None,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.sampled_from("a.:/?#@[]%\x00\r\n\x7fé\ud800😀"), max_size=30),
    st.sampled_from(["", HALF, "https://id.example.com", "https://" + "a" * 64 + ".example/x", "S256"]),
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
#: Values of our own, with anything in their fields.
VALUES = [
    value
    for name in blocking.__all__
    if isinstance(value := getattr(blocking, name), type) and is_dataclass(value) and name != "ReadSettings"
]
EVERYTHING = [each.values[0] for each in functions()]


def made(data: st.DataObject, kind: Any) -> Any:
    """Return a value of our own with anything in its fields, or anything if it refuses that."""
    wanted = [p.name for p in required(kind)]
    optional = [p.name for p in inspect.signature(kind).parameters.values() if p.kind is not p.VAR_KEYWORD]
    more = data.draw(st.lists(st.sampled_from(optional or [""]), max_size=3))
    try:
        return kind(**{name: data.draw(TEXTS | JUNK) for name in {*wanted, *more} if name})
    except PyIdentityModelException:
        return data.draw(JUNK)


@fuzz
@given(st.data())
def test_any_values_lead_to_our_exceptions(clock: Any, data: st.DataObject) -> None:
    """Requests with anything in their fields, and anything beside them, over a transport that answers anything."""
    function = data.draw(st.sampled_from(EVERYTHING))
    taken = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for parameter in required(function):
        ours = data.draw(st.booleans())
        arguments[parameter.name] = made(data, data.draw(st.sampled_from(VALUES))) if ours else data.draw(TEXTS | JUNK)
    if "http_client" in taken:
        reply = Reply(data.draw(st.sampled_from([200, 201, 302, 401, 503])), (), data.draw(st.binary(max_size=30)))
        arguments["http_client"] = lambda request: reply
    leaked = None
    try:
        result = function(**arguments)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        if inspect.isgenerator(result):
            list(islice(result, 2))
    except PyIdentityModelException as error:
        leaked = error.__context__ if isinstance(error.__context__, UnicodeError) else None
    assert leaked is None
