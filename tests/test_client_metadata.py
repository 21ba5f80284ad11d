"""Client ID metadata documents, by each driver: URLs, documents, and whom strangers can have us ask."""

from __future__ import annotations

import inspect
import json

import pytest

import py_identity_model.aio._client_metadata as aio_api
import py_identity_model.sync._client_metadata as sync_api
from py_identity_model._core.base.addresses import is_public_host
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.registration.client_metadata import (
    MAX_CLIENT_METADATA,
    ClientMetadataDocumentRequest,
    build_client_metadata_document,
    check_client_metadata,
    fetch_client_metadata_document,
    parse_client_metadata_document,
    serve_client_metadata_document,
    validate_client_id_url,
)
from py_identity_model.exceptions import (
    ConfigurationException,
    FailedResponseAccessError,
    InvalidRequestException,
    NetworkException,
    TransportException,
)
from py_identity_model.settings import Settings

SETTINGS = Settings(http_retry_max_attempts=1, http_retry_base_delay=1.0)
CLIENT = "https://app.example.com/oauth-client/metadata.json"
CALLBACK = "https://app.example.com/callback"
KEYS = {"keys": [SigningKey.generate("ES256", kid="k1").public_jwk]}

#: Section 4 of the draft: the members of its example.
DOCUMENT = {
    "client_id": CLIENT,
    "client_name": "Example App",
    "client_uri": "https://app.example.com/",
    "logo_uri": "https://app.example.com/logo.png",
    "redirect_uris": [CALLBACK],
    "token_endpoint_auth_method": "none",
}


def answer(members, status=200, content_type="application/json", *headers):
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return Reply(status, (("content-type", content_type), *headers), body)


def fetch(client_id=CLIENT, **fields):
    return fetch_client_metadata_document(ClientMetadataDocumentRequest(client_id, **fields), SETTINGS)


# ---- the URL


@pytest.mark.parametrize(
    "client_id",
    [
        CLIENT,
        "https://app.example.com/",
        "https://app.example.com:8443/client",
        "https://app.example.com/client?v=2",
        "https://app.example.com/.well-known/...",
    ],
)
def test_urls_of_clients(client_id):
    """Section 3 of the draft: https with a path; a port and a query are allowed."""
    assert validate_client_id_url(client_id).path


@pytest.mark.parametrize(
    "client_id",
    [
        "https://app.example.com",
        "https://app.example.com?v=2",
        "http://app.example.com/client",
        "http://127.0.0.1/client",
        "https://app.example.com/client#",
        "https://app.example.com/client#a",
        "https://user@app.example.com/client",
        "https://user:password@app.example.com/client",
        "https://app.example.com/./client",
        "https://app.example.com/a/../client",
        "https://app.example.com/a/..",
        "https://app.example.com/a/%2e%2E/client",
        "https://app.example.com/a/.%2e/client",
        "https://app.example.com\\@evil.example/client",
        "https://app.example.com/cli ent",
        "https://\u0430pp.example.com/client",
        "https://2130706433/client",
        "app.example.com/client",
        "javascript:alert(1)",
        "s6BhdRkqt3",
        "",
        None,
        "https://app.example.com/" + "a" * 2048,
    ],
)
def test_urls_that_are_no_client(perform, client_id):
    """Section 3 of the draft: no other scheme, fragment, user information or dot segment; nothing is fetched."""
    with pytest.raises(InvalidRequestException) as error:
        validate_client_id_url(client_id)
    assert (error.value.code, error.value.client_error.status) == ("client_id_url_invalid", 400)
    response, sent = perform(fetch(client_id))
    assert (response.error_code, sent) == ("client_id_url_invalid", [])
    with pytest.raises(ConfigurationException):
        build_client_metadata_document(client_id, redirect_uris=[CALLBACK])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[fc00::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::]",
        "[2001:0:1::1]",
        "localhost",
        "app.localhost",
        "localhost.localdomain",
        "intranet",
        "vault.internal",
        "printer.local",
        "nas.home.arpa",
    ],
)
def test_nobody_can_have_us_look_inside(perform, host):
    """[J20] A client_id on a private, local or reserved host is not fetched, unless the loud name allows it."""
    assert not is_public_host(host.strip("[]"))
    client_id = f"https://{host}/client"
    response, sent = perform(fetch(client_id))
    assert (response.error_code, sent) == ("address_not_public", [])
    document = {**DOCUMENT, "client_id": client_id}
    response, [sent] = perform(fetch(client_id, allow_private_addresses=True), answer(document))
    assert (response.is_successful, sent.url) == (True, client_id)


@pytest.mark.parametrize("host", ["app.example.com", "8.8.8.8", "2001:4860:4860::8888", "localhost.example.com", "a.b"])
def test_public_hosts(host):
    """Names with a dot and global addresses are public by their spelling."""
    assert is_public_host(host)


# ---- the document


def test_a_document_is_built_served_and_read():
    """Section 4 of the draft: what a client publishes is what a server reads."""
    members = {name: value for name, value in DOCUMENT.items() if name != "client_id"}
    document = build_client_metadata_document(CLIENT, **members, scope=None, x=1)
    assert document == {**DOCUMENT, "x": 1}
    served = serve_client_metadata_document(document, max_age=60)
    assert served.path == "/oauth-client/metadata.json"
    assert dict(served.headers) == {
        "content-type": "application/json",
        "cache-control": "public, max-age=60",
        "x-content-type-options": "nosniff",
    }
    assert parse_client_metadata_document(json.loads(served.body), CLIENT) == document


def test_a_client_with_keys():
    """private_key_jwt comes with jwks or jwks_uri, public keys only."""
    for keys in ({"jwks": KEYS}, {"jwks_uri": "https://app.example.com/jwks"}):
        document = {**DOCUMENT, "token_endpoint_auth_method": "private_key_jwt", **keys}
        assert parse_client_metadata_document(document, CLIENT) == document


@pytest.mark.parametrize(
    ("change", "code", "claim"),
    [
        ({"client_secret": "canary"}, "client_metadata_invalid", "client_secret"),
        ({"client_secret_expires_at": 0}, "client_metadata_invalid", "client_secret_expires_at"),
        (
            {"token_endpoint_auth_method": "client_secret_basic"},
            "client_metadata_invalid",
            "token_endpoint_auth_method",
        ),
        ({"token_endpoint_auth_method": "client_secret_post"}, "client_metadata_invalid", "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "client_metadata_invalid", "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": ["none"]}, "client_metadata_invalid", "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "client_metadata_invalid", "jwks_uri"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "canary"}]}}, "jwks_private", "jwks"),
        ({"jwks": {"keys": [{"kty": "RSA", "d": "canary"}]}}, "jwks_private", "jwks"),
        ({"jwks_uri": "http://app.example.com/jwks"}, "https_required", "jwks_uri"),
        ({"redirect_uris": ["http://app.example.com/cb"]}, "client_metadata_invalid", "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "client_metadata_invalid", "redirect_uris"),
        ({"redirect_uris": CALLBACK}, "client_metadata_invalid", "redirect_uris"),
        ({"redirect_uris": []}, "parameter_invalid", "redirect_uris"),
        ({"redirect_uris": None}, "client_metadata_invalid", "redirect_uris"),
        ({"client_name": 5}, "client_metadata_invalid", "client_name"),
        ({"logo_uri": "data:image/png;base64,x"}, "client_metadata_invalid", "logo_uri"),
        ({"grant_types": ["password"]}, "grant_type_refused", "grant_types"),
        ({"grant_types": "authorization_code"}, "client_metadata_invalid", "grant_types"),
    ],
)
def test_documents_that_must_not_be(change, code, claim):
    """[S16] [F45] Section 4.1 of the draft: no shared secret in a public document, nor a member that is not valid."""
    document = {**DOCUMENT, **change}
    with pytest.raises(InvalidRequestException) as read:
        parse_client_metadata_document(document, CLIENT)
    assert (read.value.code, read.value.claim) == (code, claim)
    assert "canary" not in str(read.value) + repr(vars(read.value))
    if change != {"redirect_uris": None}:
        members = {name: value for name, value in document.items() if name != "client_id"}
        with pytest.raises(ConfigurationException) as built:
            build_client_metadata_document(CLIENT, **members)
        assert built.value.code == code


def test_a_document_needs_redirect_uris():
    """RFC 7591 2: clients of redirecting grants name their redirect URIs; others need none."""
    bare = {"client_id": CLIENT}
    with pytest.raises(InvalidRequestException):
        parse_client_metadata_document(bare, CLIENT)
    machine = {**bare, "grant_types": ["client_credentials"]}
    assert parse_client_metadata_document(machine, CLIENT) == machine
    assert check_client_metadata({"grant_types": ["client_credentials"], "x": 1})["x"] == 1


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENT, "client_name": "a" * MAX_CLIENT_METADATA},
        {**DOCUMENT, "x": object()},
        {"redirect_uris": [CALLBACK]},
        {**DOCUMENT, "client_secret": "canary"},
    ],
)
def test_what_is_never_served(document):
    """A document that servers would refuse is not published."""
    with pytest.raises(ConfigurationException):
        serve_client_metadata_document(document)


@pytest.mark.parametrize("max_age", [-1, True, 1.5, "60"])
def test_how_long_it_may_be_kept(max_age):
    """A max-age that is no number of seconds is not published."""
    with pytest.raises(ConfigurationException):
        serve_client_metadata_document(DOCUMENT, max_age=max_age)


# ---- fetched and verified


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/client-metadata+json"]
)
def test_a_document_is_fetched(perform, content_type):
    """Section 4 of the draft: one GET without credentials, and the document is verified to be the client's."""
    response, [sent] = perform(fetch(), answer({**DOCUMENT, "x": [1]}, content_type=content_type))
    assert (sent.method, sent.url, sent.limit) == ("GET", CLIENT, MAX_CLIENT_METADATA)
    assert {name.lower() for name, _ in sent.headers} <= {"accept"}
    assert response.metadata == {**DOCUMENT, "x": [1]}
    assert (response.fresh_for, response.status_code) == (3600.0, 200)


@pytest.mark.parametrize(
    ("header", "fresh_for"),
    [("max-age=600", 600), ("max-age=1", 60), ("no-store", 60), ("max-age=99999999", 86400)],
)
def test_for_how_long(perform, header, fresh_for):
    """Section 4.2 of the draft: caching headers are honoured, within bounds."""
    response, _ = perform(fetch(), answer(DOCUMENT, 200, "application/json", ("cache-control", header)))
    assert response.fresh_for == fresh_for


@pytest.mark.parametrize(
    "client_id",
    [
        "https://evil.example/client",
        CLIENT + "/",
        CLIENT.replace("app", "APP"),
        CLIENT.replace(".com", ".com:443"),
        None,
        [CLIENT],
    ],
)
def test_the_document_of_another_client(perform, client_id):
    """Section 4.1 of the draft: client_id is the URL, compared as a simple string."""
    response, _ = perform(fetch(), answer({**DOCUMENT, "client_id": client_id}))
    assert (response.is_successful, response.error_code) == (False, "client_id_mismatch")
    for name in ("metadata", "fresh_for"):
        with pytest.raises(FailedResponseAccessError):
            getattr(response, name)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404), "client_metadata_missing"),
        (answer(DOCUMENT, 201), "client_metadata_missing"),
        (answer(b"<p>canary</p>", content_type="text/html"), "client_metadata_missing"),
        (answer(DOCUMENT, content_type="text/json"), "client_metadata_missing"),
        (Reply(200, (), json.dumps(DOCUMENT).encode()), "client_metadata_missing"),
        (answer(b"canary"), "client_metadata_unparsable"),
        (answer(b"[]"), "client_metadata_unparsable"),
        (answer(b'{"client_id": "a", "client_id": "canary"}'), "client_metadata_unparsable"),
        (answer({**DOCUMENT, "x": "a" * MAX_CLIENT_METADATA}), "response_too_large"),
        (TransportException("lost", code="tls_failed"), "tls_failed"),
    ],
)
def test_what_is_no_document(perform, reply, code):
    """Anything but a JSON object of at most 5 KiB with status 200 is a failure that repeats nothing of it."""
    response, _ = perform(fetch(), reply)
    assert (response.is_successful, response.error_code) == (False, code)
    assert "canary" not in response.error
    assert isinstance(response.exception, NetworkException)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["https://evil.example/client", "https://app.example.com/other", "http://10.0.0.1/"]
)
def test_redirects_are_not_followed(perform, status, location):
    """Section 4 of the draft: a redirect is an error, wherever it leads."""
    response, sent = perform(fetch(), Reply(status, (("location", location),)))
    assert (response.error_code, len(sent)) == ("client_metadata_missing", 1)


def test_a_failing_server_is_asked_again(perform, clock):
    """Fetching is safe to repeat."""
    response, sent = perform(fetch(), Reply(503), answer(DOCUMENT))
    assert (response.is_successful, len(sent), len(clock.slept)) == (True, 2, 1)


def test_both_apis_run_the_flow(driver):
    """The blocking and the awaited function give the same answer, with the same signature."""
    request = ClientMetadataDocumentRequest(CLIENT)

    async def web(_):
        return answer(DOCUMENT)

    if driver.kind == "sync":
        response = sync_api.get_client_metadata_document(request, lambda _: answer(DOCUMENT))
    else:
        response = driver.loop(aio_api.get_client_metadata_document, request, web)
    assert response.metadata == DOCUMENT
    mine, theirs = (inspect.signature(d.get_client_metadata_document) for d in (sync_api, aio_api))
    assert mine == theirs
