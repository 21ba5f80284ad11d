"""Metadata of protected resources, by each driver: built, served, found, fetched, verified (RFC 9728)."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import pytest

import py_identity_model.aio._protected_resource as aio_api
import py_identity_model.sync._protected_resource as sync_api
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.binding.challenges import ChallengePolicy, build_refusal, parse_challenges
from py_identity_model._core.resource.protected_resource import asking
from py_identity_model._core.resource.resource_metadata import (
    MAX_DOCUMENT,
    ProtectedResourceMetadata,
    ProtectedResourceMetadataRequest,
    choose_authorization_server,
    fetch_resource_metadata,
    parse_resource_metadata,
    resource_metadata_url,
    serve_resource_metadata,
    well_known_url,
)
from py_identity_model.exceptions import (
    ConfigurationException,
    DiscoveryException,
    FailedResponseAccessError,
    MissingCredentialsException,
    SignatureVerificationException,
    TransportException,
)
from py_identity_model.settings import Settings

RESOURCE = "https://resource.example.com"
ADDRESS = RESOURCE + "/.well-known/oauth-protected-resource"
SETTINGS = Settings(http_retry_max_attempts=1, http_retry_base_delay=1.0)

#: RFC 9728 3.2: the example of a response.
DOCUMENT = {
    "resource": "https://resource.example.com",
    "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
    "bearer_methods_supported": ["header", "body"],
    "scopes_supported": ["profile", "email", "phone"],
    "resource_documentation": "https://resource.example.com/resource_documentation.html",
}


def answer(members, status=200, content_type="application/json"):
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return Reply(status, (("content-type", content_type),), body, ADDRESS)


def fetch(perform, *replies, address=RESOURCE, verify=None, **fields):
    request = ProtectedResourceMetadataRequest(address, **fields)
    return perform(fetch_resource_metadata(request, SETTINGS, asking(verify) if verify else None), *replies)


# ---- where it is


@pytest.mark.parametrize(
    ("identifier", "url"),
    [
        ("https://resource.example.com", "https://resource.example.com/.well-known/oauth-protected-resource"),
        ("https://resource.example.com/", "https://resource.example.com/.well-known/oauth-protected-resource"),
        (
            "https://resource.example.com/resource1",
            "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
        ),
        ("https://r.example:8443/a/", "https://r.example:8443/.well-known/oauth-protected-resource/a/"),
        ("https://r.example/a?k=v", "https://r.example/.well-known/oauth-protected-resource/a?k=v"),
        ("http://127.0.0.1:9/a", "http://127.0.0.1:9/.well-known/oauth-protected-resource/a"),
    ],
)
def test_the_examples_of_rfc_9728_3_1(identifier, url):
    """RFC 9728 3.1: the well-known path goes between host and path."""
    assert well_known_url(identifier) == url


def test_an_issuer_with_a_path():
    """RFC 8414 3.1: the metadata of the example issuer with a path is found the same way."""
    url = well_known_url("https://example.com/issuer1", "oauth-authorization-server")
    assert url == "https://example.com/.well-known/oauth-authorization-server/issuer1"


@pytest.mark.parametrize(
    "identifier", ["http://resource.example.com", "resource.example.com", "https://a.example/#f", ""]
)
def test_what_is_no_resource_identifier(identifier):
    """[F1] RFC 9728 1.2: a resource identifier is an https URL without fragment."""
    with pytest.raises(ConfigurationException):
        well_known_url(identifier)


def test_the_example_of_rfc_9728_5_1():
    """RFC 9728 5.1: the example challenge says where the metadata is."""
    text = 'Bearer resource_metadata="https://resource.example.com/.well-known/oauth-protected-resource"'
    assert resource_metadata_url(parse_challenges([text])) == ADDRESS


@pytest.mark.parametrize(
    ("texts", "url"),
    [
        (["Bearer"], None),
        (['Bearer resource_metadata="http://evil.example/x"'], None),
        (['Bearer resource_metadata="file:///etc/passwd"'], None),
        (['Bearer resource_metadata="https://user@evil.example/"'], None),
        (['Bearer resource_metadata="x"', f'DPoP resource_metadata="{ADDRESS}"'], ADDRESS),
    ],
)
def test_only_https_is_followed(texts, url):
    """[F1] A challenge that leads anywhere but to an https URL is passed over."""
    assert resource_metadata_url(parse_challenges(texts)) == url


# ---- built and served


def test_what_is_served_is_what_is_read():
    """The example document survives being built, served and parsed, extra members included."""
    metadata = parse_resource_metadata({**DOCUMENT, "resource_name#de": "Beispiel", "extra": 5}, RESOURCE)
    assert metadata.authorization_servers == ("https://as1.example.com", "https://as2.example.net")
    assert metadata.extra == {"resource_name#de": "Beispiel", "extra": 5}
    served = serve_resource_metadata(metadata, max_age=60)
    assert served.path == "/.well-known/oauth-protected-resource"
    assert dict(served.headers)["content-type"] == "application/json"
    assert dict(served.headers)["cache-control"] == "public, max-age=60"
    assert json.loads(served.body) == {**DOCUMENT, "resource_name#de": "Beispiel", "extra": 5}
    assert parse_resource_metadata(json.loads(served.body), RESOURCE) == metadata


def test_a_challenge_leads_to_what_is_served(perform):
    """RFC 9728 5: from a refusal the client finds the metadata that the resource serves."""
    resource = RESOURCE + "/orders"
    metadata = ProtectedResourceMetadata(resource=resource, authorization_servers=("https://id.example",))
    served = serve_resource_metadata(metadata)
    refusal = build_refusal(
        MissingCredentialsException("none"), ChallengePolicy(resource_metadata=well_known_url(resource))
    )
    url = resource_metadata_url(parse_challenges([dict(refusal.headers)["www-authenticate"]]))
    assert url.endswith(served.path)
    response, [sent] = fetch(perform, Reply(200, served.headers, served.body), address=url, resource=resource)
    assert (sent.method, sent.url) == ("GET", url)
    assert response.metadata == metadata


@pytest.mark.parametrize("max_age", [-1, True, 1.5, "60"])
def test_how_long_it_may_be_kept(max_age):
    """A max-age that is no number of seconds is not published."""
    with pytest.raises(ConfigurationException):
        serve_resource_metadata(ProtectedResourceMetadata(resource=RESOURCE), max_age=max_age)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resource", "http://resource.example.com"),
        ("resource", RESOURCE + "#a"),
        ("authorization_servers", ["http://id.example"]),
        ("authorization_servers", ["https://id.example?a=b"]),
        ("authorization_servers", "https://id.example"),
        ("authorization_servers", []),
        ("jwks_uri", "http://resource.example.com/jwks"),
        ("scopes_supported", "a b"),
        ("scopes_supported", [""]),
        ("scopes_supported", []),
        ("bearer_methods_supported", "header"),
        ("resource_signing_alg_values_supported", ["none"]),
        ("resource_signing_alg_values_supported", ["ES256", "none"]),
        ("resource_name", 5),
        ("resource_name", ""),
        ("resource_policy_uri", "javascript:alert(1)"),
        ("resource_tos_uri", "http://resource.example.com/tos"),
        ("resource_documentation", 5),
        ("tls_client_certificate_bound_access_tokens", "true"),
        ("dpop_bound_access_tokens_required", 1),
        ("authorization_details_types_supported", {"a": 1}),
        ("signed_metadata", ["a"]),
    ],
)
def test_members_are_what_they_must_be(name, value):
    """[F36] [F40] RFC 9728 2: a member of the wrong kind is not published, and one that was read is not used."""
    fields = {"resource": RESOURCE, name: value}
    with pytest.raises(ConfigurationException) as error:
        ProtectedResourceMetadata(**fields)
    assert (error.value.code, error.value.claim) == ("resource_metadata_invalid", name)
    if name != "resource":
        found = parse_resource_metadata({**DOCUMENT, **fields}, RESOURCE)
        for again in (found, pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
            assert (again, list(again.faults)) == (found, [name])
            assert name in repr(again)
            with pytest.raises(DiscoveryException) as read:
                getattr(again, name)
            with pytest.raises(DiscoveryException):
                again.document()
        for other in DOCUMENT.keys() - {name}:
            assert getattr(found, other)  # nobody is kept from what can be used
        assert (read.value.code, read.value.claim) == ("resource_metadata_invalid", name)


def test_a_bad_member_does_not_spoil_what_is_fetched(perform):
    """Metadata with a member that cannot be used leads to the authorization server; servers that are none do not."""
    response, _ = fetch(perform, answer({**DOCUMENT, "resource_tos_uri": "javascript:alert(1)"}))
    first = DOCUMENT["authorization_servers"][0]
    assert choose_authorization_server(response.metadata, {first}) == first
    response, _ = fetch(perform, answer({**DOCUMENT, "authorization_servers": [first, "http://id.example"]}))
    with pytest.raises(DiscoveryException) as refused:
        choose_authorization_server(response.metadata, {first})
    assert (refused.value.code, refused.value.claim) == ("resource_metadata_invalid", "authorization_servers")


def test_nothing_is_smuggled_in_as_extra():
    """A member that has a field of its own cannot come unchecked through extra."""
    with pytest.raises(ConfigurationException) as error:
        ProtectedResourceMetadata(resource=RESOURCE, extra={"jwks_uri": "http://evil.example"})
    assert error.value.claim == "jwks_uri"


def test_what_a_resource_demands_of_tokens():
    """[S11] RFC 9728 2: whether tokens must be bound is true or false, and false is said as well."""
    said = {"dpop_bound_access_tokens_required": True, "tls_client_certificate_bound_access_tokens": False}
    metadata = ProtectedResourceMetadata(resource=RESOURCE, dpop_signing_alg_values_supported=["ES256"], **said)
    assert metadata.document() == {"resource": RESOURCE, "dpop_signing_alg_values_supported": ["ES256"], **said}
    assert parse_resource_metadata(metadata.document(), RESOURCE) == metadata


def test_no_bearer_method_at_all():
    """RFC 9728 2: an empty list of bearer methods says that there is none."""
    assert ProtectedResourceMetadata(resource=RESOURCE, bearer_methods_supported=()).bearer_methods_supported == ()


# ---- fetched and verified


def test_the_example_of_rfc_9728_3_2(perform):
    """RFC 9728 3.2: the example response is read, and nothing secret is sent for it."""
    response, [sent] = fetch(perform, answer(DOCUMENT, content_type="application/json; charset=utf-8"))
    assert (sent.method, sent.url, sent.body) == ("GET", ADDRESS, b"")
    assert "authorization" not in {name.lower() for name, _ in sent.headers}
    assert response.metadata.scopes_supported == ("profile", "email", "phone")
    assert response.status_code == 200


@pytest.mark.parametrize(
    "resource",
    ["https://evil.example", RESOURCE + "/", RESOURCE.upper(), "https://resource.example.com:443", None, [RESOURCE]],
)
def test_metadata_of_another_resource(perform, resource):
    """[F18] RFC 9728 3.3: metadata whose resource is not identical is not used."""
    response, _ = fetch(perform, answer({**DOCUMENT, "resource": resource}))
    assert (response.is_successful, response.error_code) == (False, "resource_mismatch")
    with pytest.raises(FailedResponseAccessError):
        _ = response.metadata


def test_the_resource_of_a_challenge(perform):
    """RFC 9728 3.3: behind a challenge, the resource is the URL that was asked, not what the document claims."""
    url = RESOURCE + "/.well-known/oauth-protected-resource/a"
    document = {**DOCUMENT, "resource": RESOURCE + "/a"}
    assert fetch(perform, answer(document), address=url)[0].is_successful
    assert fetch(perform, answer(document), address=url, resource=RESOURCE + "/a")[0].is_successful
    response, _ = fetch(perform, answer(document), address=url, resource="https://other.example/a")
    assert response.error_code == "resource_mismatch"


@pytest.mark.parametrize("path", ["/custom/metadata/location.json", "/meta?of=a", "/", ""])
def test_metadata_stands_where_the_challenge_says(perform, path):
    """RFC 9728 5: the URL of a challenge is fetched as it stands, with or without a well-known path in it."""
    document = {**DOCUMENT, "resource": RESOURCE + "/a"}
    response, [sent] = fetch(perform, answer(document), address=RESOURCE + path, resource=RESOURCE + "/a")
    assert response.is_successful, response.error
    assert sent.url == RESOURCE + path
    response, [sent] = fetch(perform, answer(document), address=RESOURCE + "/a", resource=RESOURCE + "/a")
    assert (response.is_successful, sent.url) == (True, well_known_url(RESOURCE + "/a"))


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(404), "resource_metadata_missing"),
        (answer(b"<html>canary</html>", content_type="text/html"), "resource_metadata_missing"),
        (answer(DOCUMENT, content_type="text/plain"), "resource_metadata_missing"),
        (Reply(200, (), json.dumps(DOCUMENT).encode()), "resource_metadata_missing"),
        (Reply(302, (("location", "https://evil.example"),)), "resource_metadata_missing"),
        (answer(b"canary"), "resource_metadata_unparsable"),
        (answer(b"[]"), "resource_metadata_unparsable"),
        (answer(b'{"resource": "a", "resource": "canary"}'), "resource_metadata_unparsable"),
        (answer(b'{"a":"' + b"a" * MAX_DOCUMENT + b'"}'), "response_too_large"),
        (TransportException("lost", code="tls_failed"), "tls_failed"),
    ],
)
def test_what_is_no_metadata(perform, reply, code):
    """Anything but a small JSON object with status 200 is a failure that repeats nothing of it."""
    response, _ = fetch(perform, reply)
    assert response.error_code == code
    assert "canary" not in response.error


def test_a_failing_resource_is_asked_again(perform, clock):
    """Reading is safe to repeat: a failing server is asked as often as the settings say."""
    response, sent = fetch(perform, Reply(503), answer(DOCUMENT))
    assert (response.is_successful, len(sent), len(clock.slept)) == (True, 2, 1)


@pytest.mark.parametrize("address", ["http://resource.example.com", "", "https://user@resource.example.com"])
def test_an_address_that_is_none(perform, address):
    """[F1] A mistake of the caller is a failed response, and nothing is sent."""
    response, sent = fetch(perform, address=address)
    assert (response.is_successful, sent) == (False, [])
    assert isinstance(response.exception, ConfigurationException)


# ---- signed


def test_signed_metadata_goes_first(perform):
    """RFC 9728 2.2: verified signed values go before plain ones; the JWT's own claims are no metadata."""
    seen = []

    def verify(jwt):
        seen.append(jwt)
        return {"iss": "https://id.example", "iat": 1, "resource": RESOURCE, "scopes_supported": ["signed"]}

    response, _ = fetch(perform, answer({**DOCUMENT, "signed_metadata": "a.b.c"}), verify=verify)
    assert seen == ["a.b.c"]
    assert response.metadata.scopes_supported == ("signed",)
    assert response.metadata.extra == {}


def test_signed_metadata_about_another_resource(perform):
    """[F18] A signed document cannot be passed off as another resource's."""
    claims = {"iss": "https://id.example", "resource": "https://evil.example"}
    response, _ = fetch(perform, answer({**DOCUMENT, "signed_metadata": "a.b.c"}), verify=lambda _: claims)
    assert response.error_code == "resource_mismatch"


@pytest.mark.parametrize(
    "claims",
    [{}, {"iss": 5}, {"iss": "https://id.example", "signed_metadata": "a.b.c"}, None, "yes"],
)
def test_signed_metadata_that_breaks_the_rules(perform, claims):
    """RFC 9728 2.2: iss is required, and signed metadata is not nested; what verified nothing proves nothing."""
    response, _ = fetch(perform, answer({**DOCUMENT, "signed_metadata": "a.b.c"}), verify=lambda _: claims)
    assert response.error_code == "resource_metadata_signature_invalid"


def test_a_bad_signature(perform):
    """A signature that does not hold fails the whole answer: the plain values are not fallen back to."""

    def verify(jwt):
        raise SignatureVerificationException("no")

    response, _ = fetch(perform, answer({**DOCUMENT, "signed_metadata": "a.b.c"}), verify=verify)
    assert response.error_code == "signature_invalid"


def test_signed_metadata_may_be_required(perform):
    """Where it is required, plain metadata, and signed metadata that nobody verifies, are refused."""
    for document in (DOCUMENT, {**DOCUMENT, "signed_metadata": "a.b.c"}):
        response, _ = fetch(perform, answer(document), require_signed_metadata=True)
        assert response.error_code == "resource_metadata_unsigned"
    response, _ = fetch(perform, answer(DOCUMENT), require_signed_metadata=True, verify=lambda _: {})
    assert response.error_code == "resource_metadata_unsigned"
    assert fetch(perform, answer({**DOCUMENT, "signed_metadata": "a.b.c"}))[0].is_successful


# ---- whom to ask for a token

METADATA = ProtectedResourceMetadata(resource=RESOURCE, authorization_servers=DOCUMENT["authorization_servers"])


def test_the_first_trusted_server():
    """[F17] [S3] RFC 9728 7.6: only a server that the client trusts already is asked for a token."""
    trusted = ["https://as2.example.net", "https://as1.example.com"]
    assert choose_authorization_server(METADATA, trusted) == "https://as1.example.com"
    assert choose_authorization_server(METADATA, "https://as2.example.net") == "https://as2.example.net"


@pytest.mark.parametrize(
    "trusted", [["https://id.example"], ["https://as1.example.com/"], "https://as1.example.com.evil.example"]
)
def test_no_trusted_server(trusted):
    """[F17] A resource cannot send the client to a server it does not trust; a part of a name is no name."""
    with pytest.raises(DiscoveryException) as error:
        choose_authorization_server(METADATA, trusted)
    assert error.value.code == "authorization_server_untrusted"
    with pytest.raises(DiscoveryException):
        choose_authorization_server(ProtectedResourceMetadata(resource=RESOURCE), trusted)


@pytest.mark.parametrize("trusted", [[], "", [""], None])
def test_somebody_must_be_trusted(trusted):
    """An empty list of trusted servers is a configuration error."""
    with pytest.raises(ConfigurationException):
        choose_authorization_server(METADATA, trusted)


# ---- both APIs


def test_both_apis_run_the_flow(driver):
    """The blocking and the awaited function give the same answer; verify_signed may be a coroutine function in aio."""
    request = ProtectedResourceMetadataRequest(RESOURCE)
    claims = {"iss": "https://id.example", "resource": RESOURCE, "resource_name": "signed"}
    reply = answer({**DOCUMENT, "signed_metadata": "a.b.c"})
    if driver.kind == "sync":
        response = sync_api.get_protected_resource_metadata(request, lambda _: reply, verify_signed=lambda _: claims)
    else:

        async def provider(_):
            return reply

        async def verify(_):
            return claims

        async def main():
            return await aio_api.get_protected_resource_metadata(request, provider, verify_signed=verify)

        response = driver.loop(main)
    assert response.metadata.resource_name == "signed"
    names = [list(inspect.signature(d.get_protected_resource_metadata).parameters) for d in (sync_api, aio_api)]
    assert names[0] == names[1]
