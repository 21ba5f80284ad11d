"""One provider, two addresses: browsers and tokens know https://login.example.com, servers reach it elsewhere."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from apis import NOW, Api, Provider
from py_identity_model import aio, sync
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.urls import backchannel_url, is_below
from py_identity_model.exceptions import ConfigurationException
from py_identity_model.testing import EmbeddedProvider

PUBLIC = "https://login.example.com"
LOOSE = sync.DiscoveryPolicy(require_https=False)


class Inside:
    """A provider that is called by its public name and reached at ``http://keycloak:8080`` only."""

    def __init__(self, base: str = "http://keycloak:8080") -> None:
        self.provider = EmbeddedProvider(PUBLIC)
        self.base = base
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        assert is_below(request.url, self.base), request.url
        path = request.url.removeprefix(self.base)
        public = Request(request.method, PUBLIC + path, request.headers, request.body)
        return self.provider.transport(public)


class Handler(http.server.BaseHTTPRequestHandler):
    """Hands what comes to a loopback port to a provider that believes its name is the public one."""

    provider: EmbeddedProvider
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        reply = self.provider.handle(Request(self.command, PUBLIC + self.path, headers, body))
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served() -> Iterator[tuple[str, type[Handler]]]:
    """A provider on a loopback port, its public name unreachable."""
    handler = type("_Handler", (Handler,), {"provider": EmbeddedProvider(PUBLIC), "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join(5)


def door(api: Api) -> Any:
    """Return the public module of an API."""
    return sync if api.name == "sync" else aio


def test_everything_end_to_end(api: Api, served: Any) -> None:
    """Metadata, keys, login, tokens and UserInfo go inside over a real socket; issuer and browser URLs stay public."""
    base, handler = served
    provider, module = handler.provider, door(api)
    validator = module.TokenValidator(PUBLIC, provider.audience, backchannel=base)
    assert api.call(validator.validate, provider.mint())["iss"] == PUBLIC
    assert [report.backchannel for report in validator.health().issuers] == [base]
    client = module.LoginClient(
        issuer=PUBLIC,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        redirect_uri="https://client.example.com/callback",
        backchannel=base,
    )
    start = api.call(module.begin_login, client)
    assert start.url.startswith(PUBLIC + "/")
    back = provider.handle(Request("GET", start.url)).header("location")
    login = api.call(module.complete_login, client, back, start.transaction)
    assert login.claims["iss"] == PUBLIC
    userinfo = module.UserInfoRequest(f"{PUBLIC}/userinfo", login.access_token, backchannel=base)
    assert api.call(module.get_userinfo, userinfo).claims["sub"] == login.claims["sub"]
    assert {urlsplit(path).path for path in handler.seen} >= {
        "/.well-known/openid-configuration",
        "/jwks",
        "/token",
        "/userinfo",
    }


def credentials(inside: Inside) -> dict[str, Any]:
    """Return the fields of a request that goes inside."""
    return {
        "client_id": inside.provider.client_id,
        "client_secret": inside.provider.client_secret,
        "backchannel": inside.base,
        "allow_insecure_http": True,
    }


#: Operation -> its request class, the endpoint, further fields.
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "request_client_credentials_token": ("ClientCredentialsTokenRequest", "token", {}),
    "refresh_token": ("RefreshTokenRequest", "token", {"refresh_token": "r"}),
    "request_authorization_code_token": (
        "AuthorizationCodeTokenRequest",
        "token",
        {"code": "c", "redirect_uri": "https://client.example.com/callback"},
    ),
    "request_jwt_bearer_token": ("JwtBearerTokenRequest", "token", {"assertion": "a.b.c"}),
    "request_extension_grant_token": (
        "ExtensionGrantTokenRequest",
        "token",
        {"grant_type": "urn:x:y", "parameters": {"a": "b"}},
    ),
    "exchange_token": (
        "TokenExchangeRequest",
        "token",
        {"subject_token": "t", "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"},
    ),
    "introspect_token": ("TokenIntrospectionRequest", "introspect", {"token": "t"}),
    "revoke_token": ("TokenRevocationRequest", "revoke", {"token": "t"}),
    "request_device_authorization": ("DeviceAuthorizationRequest", "device_authorization", {}),
    "poll_device_token": ("DeviceTokenRequest", "token", {"device_code": "d"}),
    "push_authorization_request": (
        "PushedAuthorizationRequest",
        "par",
        {
            "redirect_uri": "https://client.example.com/callback",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        },
    ),
    "request_backchannel_authentication": ("BackchannelAuthenticationRequest", "ciba", {"login_hint": "ada"}),
    "poll_ciba_token": ("CibaTokenRequest", "token", {"auth_req_id": "a"}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_goes_inside(api: Api, operation: str) -> None:
    """Each request of a client is sent by its backchannel, under any endpoint of the provider."""
    module, inside = door(api), Inside()
    kind, endpoint, fields = OPERATIONS[operation]
    request = getattr(module, kind)(f"{PUBLIC}/{endpoint}", **credentials(inside), **fields)
    api.call(getattr(module, operation), request, inside)
    assert [sent.url for sent in inside.requests] == [f"http://keycloak:8080/{endpoint}"]


def test_registrations_go_inside(api: Api) -> None:
    """Registering and managing a client goes by the backchannel too."""
    module, inside = door(api), Inside()
    ways = {"backchannel": inside.base, "allow_insecure_http": True}
    uris = ["https://client.example.com/callback"]
    asked = module.ClientRegistrationRequest(f"{PUBLIC}/register", uris, **ways)
    api.call(module.register_client, asked, inside)
    for kind, name in (("ClientReadRequest", "read_client"), ("ClientDeleteRequest", "delete_client")):
        managed = getattr(module, kind)(f"{PUBLIC}/register/1", "token", **ways)
        api.call(getattr(module, name), managed, inside)
    assert {urlsplit(sent.url).netloc for sent in inside.requests} == {"keycloak:8080"}
    assert len(inside.requests) == 3


def test_documents_come_from_inside(api: Api) -> None:
    """Metadata and key sets that are asked for alone are fetched by the backchannel, and kept apart from others."""
    module, inside = door(api), Inside()
    asked = module.DiscoveryDocumentRequest(PUBLIC, LOOSE, backchannel=inside.base)
    metadata = api.call(module.get_discovery_document, asked, inside)
    assert metadata.issuer == PUBLIC
    assert metadata.token_endpoint.startswith(PUBLIC)
    keys = module.JwksRequest(metadata.jwks_uri, LOOSE, backchannel=inside.base)
    assert api.call(module.get_jwks, keys, inside).is_successful
    refused = api.call(module.get_jwks, module.JwksRequest(metadata.jwks_uri), lambda request: Reply(500))
    assert not refused.is_successful


def test_assertions_and_proofs_speak_of_public_addresses(api: Api) -> None:
    """What a provider compares with its own name, a proof's htu or an assertion's audience, has the public address."""
    module, inside = door(api), Inside()
    request = module.ClientCredentialsTokenRequest(
        f"{PUBLIC}/token",
        **credentials(inside),
        dpop_key=module.generate_dpop_key(),
        auth_method="client_secret_jwt",
    )
    api.call(module.request_client_credentials_token, request, inside)
    [sent] = inside.requests
    proof = {name.lower(): value for name, value in sent.headers}["dpop"]
    assert EmbeddedProvider.claims_of(proof)["htu"] == f"{PUBLIC}/token"
    [assertion] = parse_qs(sent.body.decode())["client_assertion"]
    assert EmbeddedProvider.claims_of(assertion)["aud"] == f"{PUBLIC}/token"


def test_other_hosts_are_left_alone(api: Api, clock: Any) -> None:
    """Keys that the metadata places on another host are fetched there: the backchannel leads to the issuer's host."""
    clock.wall = NOW
    provider, asked = Provider(PUBLIC), []
    provider.metadata["jwks_uri"] = "https://keys.example.net/jwks"

    def transport(request: Request) -> Reply:
        asked.append(request.url)
        return provider(request)

    validator = api.validator(PUBLIC, "api", backchannel="https://inside.example.com:8443/kc", http_client=transport)
    assert api.call(validator.validate, provider.token())["sub"] == "ada"
    assert asked == [
        "https://inside.example.com:8443/kc/.well-known/openid-configuration",
        "https://keys.example.net/jwks",
    ]


def test_metadata_may_name_addresses_inside(api: Api, clock: Any) -> None:
    """A provider that answers with addresses by the name it was called by (Keycloak can) is taken at its word."""
    clock.wall = NOW
    provider, asked = Provider(PUBLIC), []
    provider.metadata |= {"jwks_uri": "http://keycloak:8080/jwks", "token_endpoint": "http://keycloak:8080/token"}

    def transport(request: Request) -> Reply:
        asked.append(request.url)
        return provider(request)

    options = {"backchannel": "http://keycloak:8080", "discovery_policy": LOOSE, "http_client": transport}
    validator = api.validator(PUBLIC, "api", **options)
    assert api.call(validator.validate, provider.token())["sub"] == "ada"
    assert asked[-1] == "http://keycloak:8080/jwks"


@pytest.mark.parametrize("keys", [False, True])
def test_responses_in_a_jwt(api: Api, keys: bool) -> None:
    """What verifies an authorization response in a JWT is fetched by the backchannel, with given keys its issuer."""
    inside, module = Inside(), door(api)
    token = inside.provider.mint("authorization_response", client_id="app", code="SplxlOBe", state="af0ifjsl")
    ways = {"backchannel": inside.base, "require_https": False, "http_client": inside}
    given = {}
    if keys:
        asked = module.JwksRequest(f"{PUBLIC}/jwks", LOOSE, backchannel=inside.base)
        given = {"jwks": api.call(module.get_jwks, asked, http_client=inside)}
        inside.requests.clear()
    response = api.call(
        module.process_jarm_response,
        f"https://app.example.com/cb?response={token}",
        client_id="app",
        disco_doc_address=PUBLIC,
        **ways,
        **given,
    )
    assert (response.code, response.issuer) == ("SplxlOBe", PUBLIC)
    assert len(inside.requests) == (1 if keys else 2)


@pytest.mark.parametrize(
    "backchannel", ["http://keycloak:8080", "keycloak:8080", "https://a@b", "https://a/?x=1", "", 5]
)
def test_a_backchannel_obeys_the_rules(api: Api, backchannel: Any) -> None:
    """Plain http to another machine is refused until the policy allows it, and so is whatever is no URL."""
    module, inside = door(api), Inside()
    with pytest.raises(ConfigurationException) as refused:
        api.validator(PUBLIC, "api", backchannel=backchannel)
    assert refused.value.claim == "backchannel"
    with pytest.raises(ConfigurationException):
        module.LoginClient(issuer=PUBLIC, client_id="a", redirect_uri="https://a.example/cb", backchannel=backchannel)
    with pytest.raises(ConfigurationException):
        api.call(
            module.validate_token,
            inside.provider.mint(),
            module.TokenValidationConfig(perform_disco=True, audience="api", backchannel=backchannel),
            PUBLIC,
            inside,
        )
    request = module.TokenRevocationRequest(
        f"{PUBLIC}/revoke", "t", "app", client_secret="s" * 40, backchannel=backchannel
    )
    response = api.call(module.revoke_token, request, inside)
    assert (response.exception.claim, inside.requests) == ("backchannel", [])


def test_a_backchannel_is_for_one_issuer(api: Api) -> None:
    """Of several issuers each has its own."""
    with pytest.raises(ConfigurationException) as refused:
        api.validator([PUBLIC, "https://other.example.com"], "api", backchannel="https://inside.example.com")
    assert refused.value.claim == "backchannel"
    one = sync.TrustedIssuer(PUBLIC, backchannel="https://inside.example.com")
    template = sync.IssuerTemplate(
        "https://login.example.com/{t}", allowed={"a"}, backchannel="https://inside.example.com"
    )
    trusted = template.trust("https://login.example.com/a")
    assert trusted.backchannel == "https://inside.example.com"
    assert api.validator([one, "https://other.example.com"], "api").health().issuers[0].backchannel is not None


def test_where_urls_lead() -> None:
    """Scheme, host and port give way, path and query stay; what is inside already stays as it is."""
    assert backchannel_url(f"{PUBLIC}/a?b=c", "http://k:1/") == "http://k:1/a?b=c"
    assert backchannel_url(f"{PUBLIC}/a", "http://k:1/auth") == "http://k:1/auth/a"
    assert backchannel_url("http://k:1/auth/a", "http://k:1/auth") == "http://k:1/auth/a"
    assert backchannel_url("http://k:1/auth/../a", "http://k:1/auth").startswith("http://k:1/auth/")
    assert backchannel_url(PUBLIC, "http://k:1") == "http://k:1"
