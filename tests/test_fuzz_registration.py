"""Registration, metadata documents, WebFinger and logins that others start, with anything at all coming in."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from py_identity_model._core.base.addresses import is_public_host
from py_identity_model._core.login.third_party_login import parse_initiate_login
from py_identity_model._core.registration import registration as flows
from py_identity_model._core.registration.client_metadata import (
    ClientMetadataDocumentRequest,
    build_client_metadata_document,
    check_client_metadata,
    fetch_client_metadata_document,
    validate_client_id_url,
)
from py_identity_model._core.registration.registration import (
    ClientReadRequest,
    ClientRegistrationRequest,
    ClientUpdateRequest,
    build_update_request,
)
from py_identity_model._core.registration.webfinger import (
    ISSUER_REL,
    WebFingerRequest,
    build_webfinger_url,
    discover_issuer,
    normalize_identifier,
)
from py_identity_model.exceptions import ConfigurationException, InvalidRequestException, PyIdentityModelException
from py_identity_model.settings import Settings
from test_fuzz import ISSUER, Reply, changed, fuzz, mutated, perform, replies, texts, values, written

pytestmark = pytest.mark.usefixtures("clock")

ONCE = Settings(http_retry_max_attempts=0)
CLIENT = "https://app.example.com/client"
CALLBACK = "https://app.example.com/cb"
METADATA: dict[str, Any] = {
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "contacts": ["ada@example.com"],
    "logo_uri": "https://app.example.com/logo.png",
    "scope": "openid",
    "token_endpoint_auth_method": "none",
    "jwks": {"keys": [{"kty": "EC"}]},
}
REGISTERED = {
    **METADATA,
    "client_id": "app",
    "client_secret": "canary-secret",
    "client_secret_expires_at": 0,
    "registration_access_token": "canary-token",
    "registration_client_uri": "https://id.example.com/register/app",
}


def told(response: Any) -> None:
    """Check that a response is good, or says why not, with no secret in either."""
    assert "canary" not in f"{response} {response!r} {response.error}"
    if not response.is_successful:
        assert response.exception.code
        with pytest.raises(PyIdentityModelException):
            response.raise_for_error()


@fuzz
@given(replies(written(changed(REGISTERED))))
def test_registrations(reply: Reply) -> None:
    """Whatever a provider answers becomes a response, and from a good one an update can be made or is refused."""
    given_metadata = {name: value for name, value in METADATA.items() if name not in ("redirect_uris", "jwks")}
    for flow in (
        flows.register_client(ClientRegistrationRequest(ISSUER, [CALLBACK], **given_metadata)),
        flows.update_client(ClientUpdateRequest(ISSUER, "canary-token", "app", [CALLBACK])),
        flows.read_client(ClientReadRequest(ISSUER, "canary-token"), ONCE),
    ):
        response = perform(flow, reply)
        told(response)
        if not response.is_successful:
            continue
        try:
            update = build_update_request(ClientUpdateRequest.from_registration(response))
        except ConfigurationException:
            continue
        assert update.url.startswith("https://")


@fuzz
@given(changed(METADATA, "jwks_uri", "client_name", "software_statement"))
def test_metadata_of_clients(members: dict[str, Any]) -> None:
    """Metadata that is not valid is refused by name, before it is sent or published."""
    with contextlib.suppress(ConfigurationException):
        check_client_metadata(members)
    members = {name: value for name, value in members.items() if name != "client_id"}
    try:
        document = build_client_metadata_document(CLIENT, **members)
    except ConfigurationException:
        return
    assert document["client_id"] == CLIENT
    assert "client_secret" not in document


@fuzz
@given(replies(written(changed({"client_id": CLIENT, **METADATA}, "client_secret"))))
def test_metadata_documents(reply: Reply) -> None:
    """A document is the client's own and holds no secret, or there is none."""
    response = perform(fetch_client_metadata_document(ClientMetadataDocumentRequest(CLIENT), ONCE), reply)
    told(response)
    if response.is_successful:
        assert response.metadata["client_id"] == CLIENT
        assert 60 <= response.fresh_for <= 86400


@fuzz
@given(texts | mutated(CLIENT) | mutated("https://app.example.com/a/../client?x=%2e#y"))
def test_client_ids(client_id: str) -> None:
    """A client_id is a plain https URL with a path, or refused."""
    try:
        validate_client_id_url(client_id)
    except InvalidRequestException:
        return
    parts = urlsplit(client_id)
    assert (parts.scheme, parts.fragment, parts.username) == ("https", "", None)
    assert parts.path.startswith("/")


@fuzz
@given(texts | mutated("169.254.169.254") | mutated("app.example.com") | mutated("2002:a00:1::"))
def test_hosts(host: str) -> None:
    """Any text is a public host or none; a name without a dot never is."""
    if is_public_host(host):
        assert "." in host or ":" in host


@fuzz
@given(
    texts
    | mutated("joe@example.com")
    | mutated("acct:juliet%40capulet.example@shopping.example.com")
    | mutated("https://example.com:8080/joe?a=b#c")
)
def test_identifiers(identifier: str) -> None:
    """What a person types becomes a question to one host over https, or is refused."""
    try:
        target = normalize_identifier(identifier)
    except InvalidRequestException:
        return
    url = urlsplit(build_webfinger_url(target))
    assert (url.scheme, url.netloc, url.path) == ("https", target.host, "/.well-known/webfinger")
    assert url.query.count("&") == 1
    assert "#" not in target.resource
    assert target.resource.lower().startswith(("acct:", "https://", "http://"))


@fuzz
@given(
    replies(
        written(changed({"subject": "acct:joe@example.com", "links": [{"rel": ISSUER_REL, "href": ISSUER}]}))
        | written(st.builds(lambda href: {"links": [{"rel": ISSUER_REL, "href": href}]}, values | mutated(ISSUER)))
    )
)
def test_webfinger_answers(reply: Reply) -> None:
    """An answer names an issuer that may be asked, or there is none."""
    response = perform(discover_issuer(WebFingerRequest("joe@example.com"), ONCE), reply)
    told(response)
    if response.is_successful:
        parts = urlsplit(response.issuer)
        assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")
        assert is_public_host(parts.hostname)


TARGET = "https://app.example.com/shop"
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["iss", "login_hint", "target_link_uri"]) | texts,
        st.sampled_from([ISSUER, TARGET, TARGET + "/a"]) | mutated(ISSUER) | mutated(TARGET + "/../b") | texts,
    ),
    max_size=5,
)


@fuzz
@given(PARAMETERS | texts | mutated(f"iss={ISSUER}&target_link_uri={TARGET}"))
def test_logins_that_others_start(parameters: Any) -> None:
    """A login starts at the trusted issuer and leads to an allowed place, or does not start."""
    try:
        login = parse_initiate_login(parameters, ISSUER, allowed_targets=[TARGET])
    except InvalidRequestException:
        return
    assert login.issuer == ISSUER
    if login.target_link_uri is not None:
        parts = urlsplit(login.target_link_uri)
        assert (parts.scheme, parts.hostname, parts.username) == ("https", "app.example.com", None)
        assert parts.path == "/shop" or parts.path.startswith("/shop/")
        assert ".." not in parts.path.split("/")
