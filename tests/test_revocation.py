"""Token revocation, by each driver: what is sent, how often, and when a token counts as revoked (RFC 7009)."""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import traceback
from urllib.parse import parse_qsl

import pytest

import py_identity_model._core.client.revocation as flows
import py_identity_model.aio._revocation as aio_api
import py_identity_model.sync._revocation as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.client.client_auth import ClientAuthMethod, MtlsClientAuth, PrivateKeyJwt
from py_identity_model._core.client.grants import ClientCredentialsTokenRequest
from py_identity_model._core.client.revocation import TokenRevocationRequest
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, TokenRequestException, TransportException
from py_identity_model.settings import Settings
from py_identity_model.testing import EmbeddedProvider

ENDPOINT = "https://id.example.com/revoke"
SETTINGS = Settings(http_retry_max_attempts=2, http_retry_base_delay=1.0)
KEY = SigningKey.generate("ES256")
LOST = TransportException("connection lost", code="connection_lost")


def refused(members, status=400, *headers):
    body = json.dumps(members).encode()
    return Reply(status, (("content-type", "application/json"), *headers), body, ENDPOINT)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def revoke(**fields):
    fields = {"token": "canary-token", "client_id": "app", **fields}
    return flows.revoke_token(TokenRevocationRequest(ENDPOINT, **fields), SETTINGS)


def test_the_example_of_rfc_7009(perform):
    """The request and the answer of RFC 7009 2.1 and 2.2 come out to the letter."""
    flow = revoke(
        token="45ghiukldjahdnhzdauz",
        token_type_hint="refresh_token",
        client_id="s6BhdRkqt3",
        client_secret="gX1fBat3bV",
    )
    response, [sent] = perform(flow, Reply(200))
    assert (sent.method, sent.url) == ("POST", ENDPOINT)
    assert sent.body == b"token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token"
    assert dict(sent.headers)["Authorization"] == "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"
    assert (response.is_successful, response.error, response.status_code) == (True, None, 200)


@pytest.mark.parametrize("body", [b"", b"{", b'{"error": "invalid_token"}', b"<html>", b"\xff" * 100])
def test_the_body_is_ignored(perform, body):
    """A status of 200 is success whatever the body says (RFC 7009 2.2)."""
    response, _ = perform(revoke(), Reply(200, (("content-type", "text/html"),), body, ENDPOINT))
    assert response.is_successful


def test_no_content_is_success_too(perform):
    """A web framework that turns 200 without a body into 204 says the same; an empty hint is left out."""
    response, [sent] = perform(revoke(token_type_hint=""), Reply(204, (), b"", ENDPOINT))
    assert response.is_successful
    assert form(sent) == {"token": "canary-token", "client_id": "app"}


@pytest.mark.parametrize("status", [201, 202, 301, 302, 307, 400, 401, 403, 404, 429, 500])
def test_other_answers_are_failures(perform, status):
    """A token counts as revoked only if the provider said so."""
    replies = [Reply(status, (("location", "https://evil.example.com/"),), b"", ENDPOINT)] * 3
    response, sent = perform(revoke(), *replies)
    assert (response.is_successful, response.status_code) == (False, status)
    assert len(sent) == (3 if status in (429, 500) else 1)
    with pytest.raises(TokenRequestException):
        response.raise_for_error()


def test_unsupported_token_type(perform):
    """A provider that cannot revoke such tokens says so by name (RFC 7009 2.2.1)."""
    reply = refused({"error": "unsupported_token_type", "error_description": "only refresh tokens"})
    response, sent = perform(revoke(), reply)
    assert (response.error_code, response.error_description) == ("unsupported_token_type", "only refresh tokens")
    assert len(sent) == 1


def test_unavailable_is_repeated_when_it_may_be(perform, clock):
    """A provider that is unavailable is asked again after the time it names (RFC 7009 2.2.1)."""
    response, sent = perform(revoke(), refused({}, 503, ("retry-after", "7")), Reply(200))
    assert response.is_successful
    assert clock.slept == [7.0]
    assert len(sent) == 2


def test_unavailable_stays_unavailable(perform, clock):
    """After the last attempt the caller learns how long to wait, and that the token may be alive."""
    response, sent = perform(revoke(), *[refused({}, 503, ("retry-after", "7"))] * 3)
    assert (len(sent), response.is_successful, response.status_code) == (3, False, 503)
    assert response.exception.retry_after == 7.0


def test_lost_connections_are_repeated(perform, clock):
    """A lost answer is no reason to leave a token alive: a repeat does no harm, with another assertion each time."""
    response, sent = perform(revoke(private_key_jwt=PrivateKeyJwt(KEY)), LOST, LOST, Reply(200))
    assert response.is_successful
    used = {json.loads(parse_compact(form(request)["client_assertion"]).payload)["jti"] for request in sent}
    assert len(used) == 3
    lost, _ = perform(revoke(), LOST, LOST, LOST)
    assert lost.error_code == "connection_lost"


METHODS = {
    ClientAuthMethod.NONE: {},
    ClientAuthMethod.CLIENT_SECRET_BASIC: {"client_secret": "canary-secret"},
    ClientAuthMethod.CLIENT_SECRET_POST: {"client_secret": "canary-secret"},
    ClientAuthMethod.CLIENT_SECRET_JWT: {"client_secret": "canary-secret-of-32-octets-or-more"},
    ClientAuthMethod.PRIVATE_KEY_JWT: {"private_key_jwt": PrivateKeyJwt(KEY)},
    ClientAuthMethod.TLS_CLIENT_AUTH: {"mtls": MtlsClientAuth("cert.pem", "key.pem")},
    ClientAuthMethod.SELF_SIGNED_TLS_CLIENT_AUTH: {
        "mtls": MtlsClientAuth("cert.pem", "key.pem", auth_method="self_signed_tls_client_auth")
    },
    ClientAuthMethod.ATTEST_JWT_CLIENT_AUTH: {"attestation": lambda issuer: ("a.b.c", "d.e.f")},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_client_authentication(perform, method):
    """Each way of authenticating a client works here too (RFC 7009 2.1)."""
    response, [sent] = perform(revoke(auth_method=method, **METHODS[method]), Reply(200))
    assert response.is_successful
    given = form(sent)
    assert given["token"] == "canary-token"
    assert ("client_id" in given) is (method is not ClientAuthMethod.CLIENT_SECRET_BASIC)
    assert (sent.certificate is not None) is ("mtls" in METHODS[method])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"token": ""}, "parameter_missing"),
        ({"client_id": ""}, "client_id_missing"),
        ({"extra": {"token": "other"}}, "parameter_reserved"),
    ],
)
def test_requests_that_make_no_sense(perform, fields, code):
    """A request that is not valid is not sent."""
    response, sent = perform(revoke(**fields))
    assert (response.error_code, sent) == (code, [])
    assert isinstance(response.exception, ConfigurationException)


def test_plain_http_is_refused(perform):
    """A token does not travel over plain http to another machine, unless that is allowed by name."""
    plain = TokenRevocationRequest("http://id.example.com/revoke", "t", "app")
    response, sent = perform(flows.revoke_token(plain, SETTINGS))
    assert (response.error_code, sent) == ("https_required", [])
    plain.allow_insecure_http = True
    assert perform(flows.revoke_token(plain, SETTINGS), Reply(200))[0].is_successful


def test_both_apis(api):
    """Both APIs revoke."""
    api_module = sync_api if api.name == "sync" else aio_api
    request = TokenRevocationRequest(ENDPOINT, Secret("t"), "app")
    assert api.call(api_module.revoke_token, request, lambda request: Reply(200)).is_successful


def test_a_whole_life(api):
    """A token of a provider is active, then revoked, then active no more; the introspector is told to forget it."""
    door = "sync" if api.name == "sync" else "aio"
    grants, introspection, revocation = (
        importlib.import_module(f"py_identity_model.{door}.{name}")
        for name in ("_grants", "_introspection", "_revocation")
    )
    provider = EmbeddedProvider()
    ours = {"client_id": provider.client_id, "client_secret": provider.client_secret}
    asked = ClientCredentialsTokenRequest(provider.url("token"), **ours)
    token = api.call(grants.request_client_credentials_token, asked, provider.transport).access_token
    introspector = introspection.TokenIntrospector(
        provider.url("introspect"), **ours, expected_audience=provider.audience, http_client=provider.transport
    )
    assert api.call(introspector.introspect, token).active
    given_up = TokenRevocationRequest(provider.url("revoke"), token, **ours)
    assert api.call(revocation.revoke_token, given_up, provider.transport).is_successful
    assert api.call(introspector.introspect, token).active
    introspector.invalidate(token)
    assert api.call(introspector.introspect, token).active is False


def test_secrets_stay_secret(perform, caplog):
    """Token and secret show on no error path, not even if the provider repeats them."""
    caplog.set_level(logging.DEBUG)
    canaries = ("canary-token", "canary-secret")
    repeated = "you sent canary-token and canary-secret"
    request = TokenRevocationRequest(ENDPOINT, "canary-token", "app", client_secret="canary-secret")
    for reply in (
        refused({"error": "invalid_request", "error_description": repeated}),
        Reply(500, (), repeated.encode(), ENDPOINT),
        LOST,
    ):
        response, _ = perform(flows.revoke_token(request, SETTINGS), *[reply] * 3)
        trace = "".join(traceback.format_exception(response.exception))
        shown = [repr(request), repr(response), str(response.error), trace, caplog.text]
        shown.append(repr(pickle.loads(pickle.dumps(response))))
        assert not [(c, text) for c in canaries for text in shown if c in text]
