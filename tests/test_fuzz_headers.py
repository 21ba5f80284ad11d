"""Whatever a provider puts into its headers and bodies, the next request can be made and every failure is ours.

``FUZZ_EXAMPLES`` says how many examples each test gets. Without it they are few and always the same ones.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import py_identity_model as blocking
import py_identity_model.aio as awaitable
from apis import Api, Provider
from fault_server import FaultServer, Seen, head
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import PyIdentityModelException

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")

settings.register_profile(
    "fuzz_headers",
    max_examples=int(EXAMPLES or 15),
    deadline=None,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)

fuzz = settings.get_profile("fuzz_headers")

OLD = SigningKey.generate("ES256", kid="old")
NEW = SigningKey.generate("ES256", kid="new")

NAMES = (
    *("ETag", "Cache-Control", "Retry-After", "Date", "Age", "Expires", "Location", "DPoP-Nonce"),
    *("WWW-Authenticate", "Content-Type", "Set-Cookie", "Last-Modified", "Vary", "Link"),
)
#: Bytes that end no line: parsers must hand them on or refuse them, and neither may hurt the next request.
FIELD_BYTES = st.binary(max_size=40).map(lambda data: re.sub(rb"[\r\n]", b"\xa0", data))
FIELD_VALUES = st.one_of(
    FIELD_BYTES,
    FIELD_BYTES.map(lambda data: b'"' + data + b'"'),
    st.sampled_from(
        [
            *(b"", b" ", b'""', b"*", b'"\xe9tag"', b'"\x80\xff"', b'W/"\xff"', b'"a\tb"', b'"' + b"x" * 9000 + b'"'),
            *(b"max-age=60\r", b'"a"\rX: 1', b"\x00", b"max-age=" + b"9" * 5000, b"max-age=-1, =,,;\x00="),
            *(b"9" * 400, b"Wed, 31 Feb 99999 99:99:99 GMT", b"Mon, 01 Jan 0001 00:00:00 -0000", b"0"),
            *(b"http://[", b"//\xff", b"https://" + b"a" * 64 + b".example/", b"https://" + b"a." * 200 + b"example/"),
            *(b"xn--" + b"\xff" * 9, b"DPoP error=\xff", b'DPoP error="use_dpop_nonce"', b"Basic \xe9, DPoP a=b=c"),
            *(b"application/json; charset=\xff", b"text/html; charset=utf-7", b"a=b; Domain=\xff; Expires=\xe9; Path="),
        ]
    ),
)
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), FIELD_VALUES), min_size=1, max_size=3)
STATUSES = st.sampled_from(
    ["200 OK"] * 4 + ["302 Found", "304 Not Modified", "400 Bad", "401 No", "429 Slow", "503 No"]
)


class OddServer(FaultServer):
    """A provider over real sockets that adds any bytes to its headers."""

    def __init__(self) -> None:
        super().__init__()
        self.provider = Provider(f"http://127.0.0.1:{self.port}", old=OLD)
        self.status, self.fields = "200 OK", list[tuple[str, bytes]]()

    def _answer(self, seen: Seen, connection: socket.socket) -> Iterator[bytes]:
        document = self.provider.jwks() if seen.target.endswith("/jwks") else self.provider.metadata
        odd = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in self.fields)
        own = [] if any(name == "Content-Type" for name, _ in self.fields) else ["Content-Type: application/json"]
        body = b"" if self.status.startswith("304") else json.dumps(document).encode()
        top = head(self.status, *own, f"Content-Length: {len(body)}", "Connection: close")
        yield top.removesuffix(b"\r\n") + odd + b"\r\n" + body
        connection.shutdown(socket.SHUT_WR)


@pytest.fixture
def odd() -> Iterator[OddServer]:
    """A provider whose headers are anything."""
    server = OddServer()
    yield server
    server.close()


def token(server: OddServer, key: SigningKey) -> str:
    return server.provider.token(key=key, exp=10**10)


def attempt(api: Api, validator: Any, presented: str) -> None:
    """Validate; whatever is refused is refused by an exception of ours."""
    with suppress(PyIdentityModelException):
        api.call(validator.validate, presented)


def survives(api: Api, odd: OddServer, clock: Any, status: str, fields: list[tuple[str, bytes]]) -> None:
    """Meet *fields* at the first fetch and at a later one; then a clean answer with a new key must be taken."""
    odd.provider.keys, odd.status, odd.fields = {"old": OLD}, "200 OK", fields
    validator = api.validator(odd.provider.issuer, "api")
    attempt(api, validator, token(odd, OLD))
    for status_now, fields_now in ((status, fields), ("200 OK", [])):
        clock.advance(90_000)
        odd.status, odd.fields = status_now, fields_now
        attempt(api, validator, token(odd, OLD))
    odd.provider.keys = {"new": NEW}
    clock.advance(90_000)
    assert api.call(validator.validate, token(odd, NEW))["sub"] == "ada"


@fuzz
@given(STATUSES, FIELDS)
def test_no_header_of_a_provider_stops_the_refreshing(
    api: Api, odd: OddServer, clock: Any, status: str, fields: list[tuple[str, bytes]]
) -> None:
    """Any bytes in any header field: later requests can be made, and new keys arrive (K6)."""
    survives(api, odd, clock, status, fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ETag", b'"\xe9"'),
        ("ETag", b"*"),
        ("ETag", b'"' + b"x" * 9000 + b'"'),
        ("Location", b"https://" + b"a" * 64 + b".example/"),
        ("Retry-After", b"9" * 400),
        ("Set-Cookie", b"a=\xff; Expires=\xe9"),
    ],
)
def test_headers_that_did_harm_before(api: Api, odd: OddServer, clock: Any, name: str, value: bytes) -> None:
    """An entity tag with bytes above 0x7F stopped every later fetch, before it was sent (K6)."""
    survives(api, odd, clock, "302 Found" if name == "Location" else "200 OK", [(name, value)])


# ---- what is sent back


class Echoing:
    """Answers like a provider, with one value in every place that a client sends back later."""

    def __init__(self, value: str, fields: list[tuple[str, bytes]], status: int) -> None:
        self.value, self.fields, self.status = value, fields, status

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        for name, value in request.headers.raw:
            assert re.fullmatch(rb"[\t\x20-\x7e]*", value), (name, value)
        members = (
            *("access_token", "refresh_token", "id_token", "registration_access_token", "request_uri", "device_code"),
            *("user_code", "auth_req_id", "client_id", "client_secret", "scope"),
        )
        answer = {**dict.fromkeys(members, self.value), "token_type": "Bearer", "expires_in": 60, "sub": "ada"}
        answer["verification_uri"] = answer["registration_client_uri"] = "https://id.example.com/r"
        raw = [(name.encode(), value) for name, value in self.fields]
        if all(name != "Content-Type" for name, _ in self.fields):
            raw.append((b"Content-Type", b"application/json"))
        status = 201 if request.url.path == "/register" and self.status == 200 else self.status
        return httpx2.Response(status, headers=raw, content=json.dumps(answer).encode())

    def transport(self, api: Api) -> Any:
        mock = httpx2.MockTransport(self)
        return httpx2.Client(transport=mock) if api.name == "sync" else httpx2.AsyncClient(transport=mock)


ECHOED = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from('a\x00\r\n\x7f\x80é\ud800😀 \t"\\'), max_size=20),
    st.sampled_from(["", "a" * 20_000, "a b", " a", "a\r\nX: 1", "\ud800", "é"]),
)


CREDENTIALS = {"client_id": "c", "client_secret": "s3cret-s3cret"}


class Chain:
    """Requests whose answers feed later requests, as far as they go."""

    def __init__(self, api: Api, http_client: Any) -> None:
        self._api, self._http_client = api, http_client
        self._door: Any = blocking if api.name == "sync" else awaitable
        self._key = blocking.DPoPKey()

    def ask(self, name: str, request: Any) -> Any:
        """Make one request; a failure is ours."""
        response = self._api.call(getattr(self._door, name), request, http_client=self._http_client)
        assert response.is_successful or isinstance(response.exception, PyIdentityModelException)
        return response

    def tokens(self) -> None:
        """Ask for tokens with DPoP twice, and use what comes."""
        address = "https://id.example.com/token"
        for _ in range(2):
            request = blocking.ClientCredentialsTokenRequest(address=address, dpop_key=self._key, **CREDENTIALS)
            self.ask("request_client_credentials_token", request)
        answer = self.ask(
            "request_client_credentials_token", blocking.ClientCredentialsTokenRequest(address=address, **CREDENTIALS)
        )
        if answer.is_successful:
            me = blocking.UserInfoRequest("https://id.example.com/me", token=answer.access_token, expected_sub="ada")
            self.ask("get_userinfo", me)
            if answer.refresh_token:
                again = blocking.RefreshTokenRequest(address=address, refresh_token=answer.refresh_token, **CREDENTIALS)
                self.ask("refresh_token", again)

    def registration(self) -> None:
        """Register, and read the registration with what came."""
        request = blocking.ClientRegistrationRequest(
            address="https://id.example.com/register", redirect_uris=["https://app.example.com/cb"]
        )
        answer = self.ask("register_client", request)
        if answer.is_successful and answer.registration_access_token:
            read = blocking.ClientReadRequest(
                "https://id.example.com/r", registration_access_token=answer.registration_access_token
            )
            self.ask("read_client", read)

    def device(self) -> None:
        """Begin a device authorization and poll once with the code that came."""
        address = "https://id.example.com/device"
        answer = self.ask(
            "request_device_authorization", blocking.DeviceAuthorizationRequest(address=address, **CREDENTIALS)
        )
        if answer.is_successful:
            poll = blocking.DeviceTokenRequest(address=address, device_code=answer.device_code, **CREDENTIALS)
            self.ask("poll_device_token", poll)


@fuzz
@given(ECHOED, st.lists(st.tuples(st.sampled_from(NAMES), FIELD_VALUES), max_size=2), st.sampled_from([200, 200, 401]))
def test_what_a_provider_hands_out_can_be_sent_back_or_is_refused(
    api: Api, clock: Any, value: str, fields: list[tuple[str, bytes]], status: int
) -> None:
    """Tokens, codes and nonces of any characters: each later request is made, or refused by an exception of ours."""
    chain = Chain(api, Echoing(value, fields, status).transport(api))
    chain.tokens()
    chain.registration()
    chain.device()
