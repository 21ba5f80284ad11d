"""Strict JSON and strict base64url: one text, one meaning."""

from __future__ import annotations

import base64
import json
import sys
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_identity_model._core.base.base64url import Base64Error, b64url_decode, b64url_encode
from py_identity_model._core.base.strict_json import (
    StrictJSONError,
    duplicate_suspect,
    loads,
    loads_claims,
    loads_object,
)

REFUSED = {
    "twice": (b'{"a":1,"a":1}', "an object has a member twice"),
    "twice, escaped differently": (b'{"a":1,"\\u0061":2}', "an object has a member twice"),
    "twice, deep down": (b'{"x":[[{"y":{"a":1,"b":2,"a":3}}]]}', "an object has a member twice"),
    "twice, empty name": (b'{"":1,"":2}', "an object has a member twice"),
    "NaN": (b'{"a":NaN}', "NaN is not a JSON number"),
    "Infinity": (b'{"a":Infinity}', "Infinity is not a JSON number"),
    "-Infinity": (b'{"a":[-Infinity]}', "-Infinity is not a JSON number"),
    "float overflow": (b'{"a":1e400}', "a number is too large"),
    "negative float overflow": (b'{"a":-1.5E999}', "a number is too large"),
    "giant integer": (b'{"a":' + b"9" * 401 + b"}", "a number is too large"),
    "array depth": (b'{"a":' + b"[" * 32 + b"]" * 32 + b"}", "it is nested too deeply"),
    "object depth": (b'{"a":' * 33 + b"1" + b"}" * 33, "it is nested too deeply"),
    "depth, never closed": (b'{"a":' + b"[" * 100_000, "it is nested too deeply"),
    "depth behind a string of brackets": (b'["]]]]\\"]",' + b"[" * 32 + b"]" * 33, "it is nested too deeply"),
    "byte order mark": (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "it is not UTF-8"),
    "UTF-32 without mark": ('{"a":1}'.encode("utf-32-le"), "it is not valid JSON"),
    "broken UTF-8": (b'{"a":"\xff"}', "it is not UTF-8"),
    "overlong UTF-8": (b'{"a":"\xc0\xaf"}', "it is not UTF-8"),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "it is not UTF-8"),
    "lone high surrogate": (b'{"a":"\\ud800"}', "it is not valid JSON"),
    "lone low surrogate in a name": (b'{"\\uDC00":1}', "it is not valid JSON"),
    "surrogates in wrong order": (b'{"a":"\\udc00\\ud800"}', "it is not valid JSON"),
    "trailing garbage": (b'{"a":1} x', "it is not valid JSON"),
    "two values": (b"{}{}", "it is not valid JSON"),
    "trailing comma": (b'{"a":1,}', "it is not valid JSON"),
    "single quotes": (b"{'a':1}", "it is not valid JSON"),
    "comment": (b'{"a":1/**/}', "it is not valid JSON"),
    "control character": (b'{"a":"\n"}', "it is not valid JSON"),
    "leading zero": (b'{"a":01}', "it is not valid JSON"),
    "plus sign": (b'{"a":+1}', "it is not valid JSON"),
    "bare point": (b'{"a":1.}', "it is not valid JSON"),
    "unknown escape": (b'{"a":"\\x41"}', "it is not valid JSON"),
    "unterminated": (b'{"a":"', "it is not valid JSON"),
    "unterminated after backslash": (b'{"a":"\\', "it is not valid JSON"),
    "non-breaking space": ('{"a":\u00a01}'.encode(), "it is not valid JSON"),
    "nothing": (b"", "it is not valid JSON"),
}
ACCEPTED = {
    "plain": b'{"a":1,"b":[true,false,null],"c":{"d":"e"}}',
    "white space": b' {\r\n"a" : 1 ,\t"b":2 }\n',
    "same name at two depths": b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}',
    "surrogate pair": b'{"a":"\\ud83d\\ude00"}',
    "escapes": b'{"a\\"b":"\\\\\\/\\n\\u0000"}',
    "numbers": b'{"a":-0,"b":1e2,"c":0.1e-7,"d":1E+2,"e":1e-400}',
    "big integer": b'{"a":' + b"9" * 400 + b"}",
    "as deep as may be": b'{"a":' * 32 + b"1" + b"}" * 32,
    "brackets in strings": b'{"a":"' + b"[{" * 50 + b'"}',
    "many shallow arrays": b'{"a":[' + b",".join([b"[]"] * 100) + b"]}",
    "non-ASCII": '{"name":"Ærøskøbing","\u00e9":"e\u0301"}'.encode(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_readers_disagree_about_is_refused(name: str) -> None:
    """A text that is ambiguous, malformed or too much is refused with a reason that repeats nothing of it."""
    data, reason = REFUSED[name]
    for parse in (loads, loads_object, loads_claims):
        with pytest.raises(StrictJSONError) as caught:
            parse(data)
        assert caught.value.reason == reason
        assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_json_means_what_the_standard_library_says(name: str) -> None:
    """Whatever is valid is read, and all three doors read the same."""
    data = ACCEPTED[name]
    expected = json.loads(data)
    assert loads(data) == loads(data.decode()) == loads_object(data) == loads_claims(data) == expected


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"text"', b"true"])
def test_an_object_is_demanded(data: bytes) -> None:
    """A value that is no object is JSON, but neither a header nor a payload."""
    assert loads(data) == json.loads(data)
    for parse in (loads_object, loads_claims):
        with pytest.raises(StrictJSONError, match="not a JSON object"):
            parse(data)


@pytest.mark.parametrize("text", ['"\ud800"', "\ufeff{}", '{"a":"\udfff\\u0041"}'])
def test_text_is_held_to_the_rules_of_bytes(text: str) -> None:
    """A str can hold a mark or a lone surrogate itself; it is refused as well."""
    with pytest.raises(StrictJSONError):
        loads(text)


def test_size_and_depth_are_the_callers_choice() -> None:
    """Limits are exact: at the limit accepted, one beyond refused."""
    assert loads(b"[[1]]", max_depth=2, max_size=5) == [[1]]
    with pytest.raises(StrictJSONError, match="too large"):
        loads(b"[[1]]", max_size=4)
    with pytest.raises(StrictJSONError, match="too deeply"):
        loads(b"[[1]]", max_depth=1)


def test_a_deep_caller_stack_is_no_recursion_error() -> None:
    """With nearly no stack left the refusal is still ours, never RecursionError."""

    def at_depth(left: int) -> object:
        if left:
            return at_depth(left - 1)
        try:
            return loads(b"[" * 30 + b"]" * 30)
        except StrictJSONError:
            return "refused"

    frames = 0
    frame = sys._getframe()
    while frame is not None:
        frames, frame = frames + 1, frame.f_back
    outcomes = []
    for spare in range(5, 60, 5):
        try:
            outcomes.append(at_depth(sys.getrecursionlimit() - frames - spare))
        except RecursionError:  # not even the call itself fits
            continue
    assert "refused" in outcomes or outcomes[-1] == json.loads("[" * 30 + "]" * 30)


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 50_000,
        '{"a":"' + "\\" * 99_999,
        '"' * 100_000,
        "[" * 33 + '"' + '\\"' * 50_000,
        "[]," * 30_000,
        '{"' * 50_000,
    ],
)
def test_the_depth_scan_is_linear(text: str) -> None:
    """Texts made to trip a scanner cost no more than their length."""
    began = time.process_time()
    with pytest.raises(StrictJSONError):
        loads(text)
    assert time.process_time() - began < 1.0


# ---- duplicates on the warm path

SUSPECTS = {
    # The re-encoding grows by what the duplicate takes, so that lengths alone would be equal.
    "growth hides a duplicate": b'{"a":1e5,"b":1e5,"b":1}',
    "growing escape": b'{"a":"\\/","a":"x"}',
    "shrinking escape": b'{"a":"\\u0061","a":"x"}',
    "in an array": b'{"a":[{"b":"c","b":"c"}]}',
    "quotes in a value balance": b'{"a":"\\"\\"","a":"\\"\\"\\"\\""}',
    "quotes that only the encoding escapes balance": b'{"a":1,"b":"\\u0022\\u0022","a":2}',
    "white space": b'{ "a":1, "a":1 }',
}


@pytest.mark.parametrize("name", SUSPECTS)
def test_a_duplicate_is_always_suspicious(name: str) -> None:
    """However the rest of the payload is written, a member that was dropped shows."""
    payload = SUSPECTS[name]
    assert duplicate_suspect(msgspec.json.decode(payload), payload)
    with pytest.raises(StrictJSONError, match="twice"):
        loads_claims(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":"b","c":[1,2.5]}',
        b'{ "a" : "b" }',
        b'{"exp":1e9,"iat":1.0}',
        b'{"iss":"https:\\/\\/a"}',
        '{"a":"\u00e9"}'.encode(),
        b"{}",
    ],
)
def test_ordinary_payloads_are_not_parsed_twice(payload: bytes) -> None:
    """Compact payloads, white space, numbers of another form and non-ASCII text are proved harmless at once."""
    assert not duplicate_suspect(msgspec.json.decode(payload), payload)


def test_what_cannot_be_encoded_is_suspicious() -> None:
    """A value too deep for what is left of the stack is no proof of anything."""
    value: object = 1
    for _ in range(500_000):  # encoders written in C may go far deeper than the interpreter's recursion limit
        value = [value]
    assert duplicate_suspect({"a": value}, b'{"a":1}')


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_any_object_survives(value: dict[str, object], ascii_only: bool, indent: int | None) -> None:
    """Whatever the standard library writes is read back equal, strictly and on the warm path."""
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert loads(data) == value
    assert loads_claims(data) == value


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "\\u0061", "c\\n", "\u00e9"]),
            st.sampled_from(["1", "1e2", '"\\/"', '"\\""', "[]"]),
        ),
        max_size=5,
    )
)
def test_no_duplicate_slips_through(members: list[tuple[str, str]]) -> None:
    """The warm path refuses exactly the objects that have a name twice, whatever their values look like."""
    text = "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
    names = [json.loads(f'"{name}"') for name, _ in members]
    if len(set(names)) == len(names):
        assert loads_claims(text.encode()) == json.loads(text)
    else:
        with pytest.raises(StrictJSONError, match="twice"):
            loads_claims(text.encode())


@given(st.binary(max_size=80))
def test_bytes_are_json_or_refused(data: bytes) -> None:
    """Nothing but StrictJSONError ever comes out, and both doors agree."""
    outcomes = []
    for parse in (loads_object, loads_claims):
        try:
            outcomes.append(parse(data))
        except StrictJSONError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


# ---- base64url


@given(st.binary(max_size=200))
def test_base64url_is_its_own_inverse(data: bytes) -> None:
    """What is encoded is decoded, from text and from bytes, and looks as RFC 4648 says."""
    text = b64url_encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert b64url_decode(text) == b64url_decode(text.encode()) == data


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA==",
        "AA=",
        "=",
        "====",
        "AB",
        "AAB",
        "+A",
        "/w",
        "A A",
        " AA",
        "AA\n",
        "AA\0",
        "\uff21A",
        "A\u00e9",
        "AAAA=",
        "AA.A",
        "AAAAA",
    ],
)
def test_there_is_one_spelling(text: str) -> None:
    """Padding, other alphabets, white space and bits that say nothing are refused."""
    with pytest.raises(Base64Error):
        b64url_decode(text)


@given(st.text("AQgw_-/+=\n ", max_size=9))
def test_only_canonical_text_is_decoded(text: str) -> None:
    """Whatever is accepted is what encoding gives back (P5)."""
    try:
        data = b64url_decode(text)
    except Base64Error:
        return
    assert b64url_encode(data) == text


@pytest.mark.parametrize("rest", [0, 2, 3])
@pytest.mark.parametrize("character", range(256))
def test_long_base64url_is_as_strict_as_short(character: int, rest: int) -> None:
    """One foreign character, anywhere in a long text, refuses it; a digit of base64url anywhere is decoded."""
    good = b64url_encode(b"x" * 3000).encode() + b"AAAA"[:rest]
    foreign = bytes([character]) not in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in (0, 1, 2, 3, 1999, 2000, 2001, 2002, len(good) - 5, len(good) - 2):
        text = good[:place] + bytes([character]) + good[place + 1 :]
        if foreign:
            with pytest.raises(Base64Error):
                b64url_decode(text)
        else:
            padding = b"=" * (-len(text) % 4)
            assert b64url_decode(text) == base64.urlsafe_b64decode(text + padding)


@pytest.mark.parametrize("end", [b"=", b"==", b'"', b'" ', b"A\n", b" ", b'"="', b'" "', b"\\u0041"])
def test_long_base64url_has_no_end_but_its_own(end: bytes) -> None:
    """Padding, quotes, space and escapes at the end of a long text are refused."""
    good = b64url_encode(b"x" * 3000).encode()
    for text in (good + end, good + b"AA" + end, good + b"AAA" + end, good + end + b"AAAA", good + end * 4):
        with pytest.raises(Base64Error):
            b64url_decode(text)
