"""Lists in headers and in claims: commas outside of quotes, spaces and nothing like them, numbers of a length."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import ProxyPolicy, check_scopes, require_scopes
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.header_lists import is_closed, members, named_value, words
from py_identity_model._core.base.strict_json import MAX_DIGITS, StrictJSONError, loads, loads_claims
from py_identity_model._core.binding.challenges import parse_challenges
from py_identity_model._core.binding.inbound_request import InboundRequest
from py_identity_model._core.cache.freshness import freshness
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.validation.application_rules import granted_scopes
from py_identity_model.exceptions import (
    ClaimsValidationError,
    InsufficientScopeException,
    InvalidRequestException,
    TokenValidationException,
)

# ---- commas and quotes


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a, b,,c ,", ["a", "b", "c"]),
        ('a="b, c", d', ['a="b, c"', "d"]),
        (r'a="b\", c", d', [r'a="b\", c"', "d"]),
        ('a="b, c', ['a="b, c']),
        ('a="b\\', ['a="b\\']),
        ("", []),
        ('"', ['"']),
        ("a\tb", ["a\tb"]),
        ("\ta\t,", ["a"]),
    ],
)
def test_what_stands_between_quotes_separates_nothing(text: str, found: list[str]) -> None:
    """A comma within a quoted string, or an escaped quote, ends no member; an open string runs to the end."""
    assert members(text) == found
    assert members(text.replace(",", ";"), ";") == [one.replace(",", ";") for one in found]


def test_values_are_unquoted() -> None:
    """Quotes are taken off as a pair, with their escapes."""
    assert named_value(r'Private = "a\"b"') == ("private", 'a"b')
    assert named_value('a="') == ("a", '"')
    assert named_value("no-store") == ("no-store", "")
    assert (is_closed('a="b"'), is_closed('a="b'), is_closed(r'a="b\"')) == (True, False, False)


@pytest.mark.parametrize("text", ['"' * 100_000, '"\\' * 50_000, "," * 100_000, '",' * 50_000, "a" * 100_000])
def test_lists_are_read_in_linear_time(text: str) -> None:
    """The longest header takes no longer than its length."""
    began = time.process_time()
    members(text)
    is_closed(text)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (['private="set-cookie, max-age=9999", max-age=600'], 600),
        (["max-age=600", "max-age=9999"], 600),
        (['ext="a, no-store, b", max-age=600'], 600),
        (['max-age="600"'], 600),
        (['ext="open', "max-age=600"], 600),
    ],
)
def test_a_directive_in_quotes_is_none(lines: list[str], seconds: int) -> None:
    """Cache-Control is read with its quotes: what an extension quotes is not a directive (RFC 9111 5.2)."""
    reply = Reply(200, tuple(("cache-control", line) for line in lines))
    assert freshness(reply, 0.0, 3600.0, 86400.0).fresh_for == seconds


def external(forwarded: list[str]) -> str:
    request = InboundRequest.build(
        "GET", "http://10.0.0.1/x", [("forwarded", one) for one in forwarded], peer="10.0.0.9"
    )
    return ProxyPolicy(trusted_proxies=("10.0.0.9",), forwarded="forwarded").external(request)


def test_forwarded_is_read_with_its_quotes() -> None:
    """A client cannot write the proxy's member into a quoted string of its own, nor leave a string open before it."""
    ours = 'for=10.0.0.2;host="api.example.com";proto=https'
    assert external([ours]) == "https://api.example.com/x"
    assert external([f'for="x, host=evil.example", {ours}']) == "https://api.example.com/x"
    assert external(['for="open', ours]) == "https://api.example.com/x"
    with pytest.raises(InvalidRequestException):
        external([f'for="open, {ours}'])


def test_challenges_are_read_with_their_quotes() -> None:
    """A comma, or another challenge, within a quoted string is neither."""
    [challenge] = parse_challenges([r'Bearer realm="a, DPoP algs=\"x\"", error="invalid_token"'])
    assert challenge.get("realm") == 'a, DPoP algs="x"'
    assert challenge.get("error") == "invalid_token"


# ---- spaces

NOT_SPACES = ["\t", "\n", "\r\n", "\xa0", "\u2003", "\x0b", "\x1f", "\u3000"]


@pytest.mark.parametrize("odd", NOT_SPACES)
def test_scopes_are_divided_by_spaces_only(odd: str) -> None:
    """RFC 6749 3.3: a scope that holds other white space is one scope, and grants none of its parts."""
    claims = {"scope": f"orders.read{odd}admin openid"}
    assert granted_scopes(claims) == {f"orders.read{odd}admin", "openid"}
    assert words(f"a{odd}b  c") == (f"a{odd}b", "c")
    check_scopes(claims, "openid")
    with pytest.raises(InsufficientScopeException):
        check_scopes(claims, "admin")
    with pytest.raises(ClaimsValidationError):
        require_scopes("admin")(claims)


# ---- long numbers


@pytest.mark.parametrize("read", [loads, loads_claims])
@pytest.mark.parametrize("shape", ['{{"a":{}}}', '{{"a":[1,{{"b":{}}}]}}', '{{"a":-{}}}'])
def test_numbers_have_at_most_400_digits(read: Any, shape: str) -> None:
    """An integer of 400 digits is read, one of 401 is refused before it is."""
    assert read(shape.format("9" * MAX_DIGITS).encode())
    for digits in (MAX_DIGITS + 1, 4300, 5000, 60_000):
        with pytest.raises(StrictJSONError, match="a number is too large"):
            read(shape.format("9" * digits).encode())


def test_many_long_numbers_cost_little() -> None:
    """A token full of the longest integers that Python reads is refused at the first of them."""
    payload = ('{"a":[' + ",".join(["9" * 4299] * 14) + "]}").encode()
    began = time.process_time()
    for _ in range(20):
        with pytest.raises(StrictJSONError):
            loads_claims(payload)
    assert (time.process_time() - began) / 20 < 0.003


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("digits", [18, 19, 20, MAX_DIGITS, MAX_DIGITS + 1, 4300])
def test_both_engines_agree_on_long_numbers(api: Api, engine: str, digits: int) -> None:
    """Cold and warm, in both engines, a claim of 400 digits is read and one of 401 refuses the token."""
    provider = Provider()
    built = api.validator(ISSUER, "api", http_client=provider, engine=engine)
    text = json.dumps({"iss": ISSUER, "aud": "api", "sub": "a", "iat": NOW, "exp": NOW + 60})
    token = sign_compact((text[:-1] + f', "n": {"7" * digits}}}').encode(), provider.keys["k1"])
    assert api.call(built.validate, provider.token())
    for _ in range(2):
        if digits <= MAX_DIGITS:
            assert api.call(built.validate, token)["n"] == int("7" * digits)
            continue
        with pytest.raises(TokenValidationException) as caught:
            api.call(built.validate, token)
        assert caught.value.code == "payload_invalid"


def test_no_pattern_has_a_possessive_group() -> None:
    """CPython before 3.11.5 goes on from the wrong place where one fails half-way, and takes what it must not."""
    source = Path(__file__).parent.parent / "src" / "py_identity_model"
    group = re.compile(r"(?:re\.compile\(|^_?[A-Z_]+ = rf?['\"]).*\)(?:[*+?]|\{[0-9,]+\})\+")
    lines = [(path.name, line) for path in source.rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert [each for each in lines if group.search(re.sub(r"\[[^]]*\]", "c", each[1]))] == []
