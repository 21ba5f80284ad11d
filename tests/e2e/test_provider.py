"""The provider itself, by plain HTTP: if one of these fails, look here before looking at the library."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx2
import pytest

from e2e import driver
from e2e.clients import (
    CIBA,
    DEVICE_CODE,
    JWT_RESOURCES,
    OPAQUE_RESOURCE,
    POST_LOGOUT_REDIRECT_URI,
    REDIRECT_URI,
    Client,
    public_jwks,
)

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def http(provider: driver.Provider) -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=provider.ssl_context()) as client:
        yield client


def segment(token: str, index: int) -> dict[str, Any]:
    part = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def authorization_url(provider: driver.Provider, client: Client, **extra: str) -> str:
    query = {"client_id": client.client_id, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid"}
    return f"{provider.issuer}/auth?{urlencode({**query, **extra})}"


def post(http: httpx2.Client, provider: driver.Provider, path: str, client: Client, **form: str) -> httpx2.Response:
    if client.client_secret is None:
        return http.post(provider.issuer + path, data={"client_id": client.client_id, **form})
    return http.post(provider.issuer + path, data=form, auth=(client.client_id, client.client_secret))


def redeem(http: httpx2.Client, provider: driver.Provider, client: Client, code: str) -> dict[str, Any]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    tokens: dict[str, Any] = post(http, provider, "/token", client, **form).raise_for_status().json()
    return tokens


def published_kids(http: httpx2.Client, provider: driver.Provider) -> set[str]:
    return {key["kid"] for key in http.get(f"{provider.issuer}/jwks").json()["keys"]}


def test_each_issuer_publishes_its_own_metadata(provider: driver.Provider, http: httpx2.Client) -> None:
    """Both issuers answer discovery under their own name, and only the https one has mTLS aliases."""
    plain, secure = (
        http.get(f"{issuer}/.well-known/openid-configuration").json()
        for issuer in (provider.issuer, provider.mtls_issuer)
    )
    assert plain["issuer"] == provider.issuer
    assert "mtls_endpoint_aliases" not in plain
    assert secure["issuer"] == provider.mtls_issuer
    assert secure["mtls_endpoint_aliases"]["token_endpoint"].startswith(provider.mtls_origin)


@pytest.mark.parametrize("alg", JWT_RESOURCES)
def test_a_resource_gets_access_tokens_in_its_own_algorithm(
    provider: driver.Provider, http: httpx2.Client, alg: str
) -> None:
    """The resource indicator chooses the algorithm of the JWT access token."""
    form = {"grant_type": "client_credentials", "scope": "api:read", "resource": JWT_RESOURCES[alg]}
    tokens = post(http, provider, "/token", provider.clients["secret-basic"], **form).json()
    assert segment(tokens["access_token"], 0)["alg"] == alg


@pytest.mark.parametrize("name", ["tls", "tls-san", "tls-self-signed"])
def test_a_client_certificate_authenticates_at_the_alias_only(provider: driver.Provider, name: str) -> None:
    """A TLS client is accepted where certificates are asked for and refused where they are not."""
    client = provider.clients[name]
    form = {"grant_type": "client_credentials", "client_id": client.client_id}
    with httpx2.Client(verify=provider.ssl_context(client)) as http:
        assert http.post(f"{provider.mtls_origin}/token", data=form).status_code == 200
        assert http.post(f"{provider.mtls_issuer}/token", data=form).status_code == 401


def test_a_foreign_certificate_does_not_authenticate(provider: driver.Provider) -> None:
    """The certificate of another client is refused."""
    form = {"grant_type": "client_credentials", "client_id": "tls"}
    with httpx2.Client(verify=provider.ssl_context(provider.certificates.self_signed)) as http:
        assert http.post(f"{provider.mtls_origin}/token", data=form).status_code == 401


@pytest.mark.parametrize("mode", ["query", "fragment", "form_post"])
def test_a_login_ends_at_the_callback(provider: driver.Provider, http: httpx2.Client, mode: str) -> None:
    """The driver logs in, consents and finds the code in every response mode."""
    client = provider.clients["secret-basic"]
    callback = provider.follow_login(authorization_url(provider, client, state="s", response_mode=mode))
    assert callback.params["state"] == "s"
    assert callback.params["iss"] == provider.issuer
    assert (callback.form is not None) == (mode == "form_post")
    tokens = redeem(http, provider, client, callback.params["code"])
    assert segment(tokens["id_token"], 1)["sub"] == "alice"


def test_the_login_hint_chooses_the_user(provider: driver.Provider, http: httpx2.Client) -> None:
    """Another account logs in when the hint names it."""
    client = provider.clients["secret-basic"]
    callback = provider.follow_login(authorization_url(provider, client, login_hint="bob"))
    assert segment(redeem(http, provider, client, callback.params["code"])["id_token"], 1)["sub"] == "bob"


def test_a_user_can_refuse(provider: driver.Provider) -> None:
    """The hint ``deny`` brings back access_denied."""
    url = authorization_url(provider, provider.clients["secret-basic"], login_hint="deny")
    assert provider.follow_login(url).params["error"] == "access_denied"


def test_a_refused_request_is_not_mistaken_for_a_callback(provider: driver.Provider) -> None:
    """A request the provider will not redirect raises instead of returning."""
    with pytest.raises(AssertionError, match="refused with 400"):
        provider.follow_login(authorization_url(provider, Client("nobody", {})))


@pytest.mark.parametrize(("approve", "status"), [(True, 200), (False, 400)])
def test_a_device_is_confirmed_or_not(
    provider: driver.Provider, http: httpx2.Client, approve: bool, status: int
) -> None:
    """The device gets its tokens exactly when the user confirms the code."""
    client = provider.clients["device"]
    asked = post(http, provider, "/device/auth", client, scope="openid").json()
    form = {"grant_type": DEVICE_CODE, "device_code": asked["device_code"]}
    assert post(http, provider, "/token", client, **form).json()["error"] == "authorization_pending"
    provider.confirm_device(asked["verification_uri"], asked["user_code"], approve=approve)
    assert post(http, provider, "/token", client, **form).status_code == status


@pytest.mark.parametrize(("approve", "status"), [(True, 200), (False, 400)])
def test_a_ciba_decision_is_pinged_over_https(
    provider: driver.Provider, http: httpx2.Client, approve: bool, status: int
) -> None:
    """The user's decision reaches the client's notification endpoint, and then the token endpoint."""
    client = provider.clients["ciba-ping"]
    form = {"scope": "openid", "login_hint": "bob", "client_notification_token": "a-notification-token"}
    asked = post(http, provider, "/backchannel", client, **form).json()
    provider.decide_ciba(asked["auth_req_id"], approve=approve)
    ping = provider.take_call("/ciba/ping")
    assert ping.headers["authorization"] == "Bearer a-notification-token"
    assert json.loads(ping.body) == {"auth_req_id": asked["auth_req_id"]}
    poll = post(http, provider, "/token", client, grant_type=CIBA, auth_req_id=asked["auth_req_id"])
    assert poll.status_code == status


def test_a_logout_reaches_the_back_channel(provider: driver.Provider, http: httpx2.Client) -> None:
    """Ending the session posts a logout token for that session and returns to the client."""
    client = provider.clients["logout"]
    with provider.browser() as browser:
        code = browser.authorize(authorization_url(provider, client)).params["code"]
        id_token = redeem(http, provider, client, code)["id_token"]
        query = {"id_token_hint": id_token, "post_logout_redirect_uri": POST_LOGOUT_REDIRECT_URI, "state": "bye"}
        target = browser.logout(f"{provider.issuer}/session/end?{urlencode(query)}")
        silent = browser.authorize(authorization_url(provider, client, prompt="none"))
    (logout_token,) = parse_qs(provider.take_call("/logout").body)["logout_token"]
    assert target == f"{POST_LOGOUT_REDIRECT_URI}?state=bye"
    assert segment(logout_token, 1)["sid"] == segment(id_token, 1)["sid"]
    assert silent.params["error"] == "login_required"


def test_a_call_that_never_comes_is_an_error(provider: driver.Provider) -> None:
    """Waiting for a call ends at the timeout."""
    with pytest.raises(AssertionError, match="no call to /nowhere"):
        provider.take_call("/nowhere", timeout_seconds=0.05)


def test_a_rotation_keeps_the_grants_and_the_previous_keys(provider: driver.Provider, http: httpx2.Client) -> None:
    """After a rotation old refresh tokens work, new tokens carry new kids, and old kids stay until dropped."""
    client = provider.clients["secret-basic"]
    tokens = redeem(http, provider, client, provider.follow_login(authorization_url(provider, client)).params["code"])
    before = published_kids(http, provider)
    fresh = set(provider.rotate_keys())
    assert not fresh & before
    assert fresh < published_kids(http, provider)
    assert segment(tokens["id_token"], 0)["kid"] in published_kids(http, provider)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refreshed = post(http, provider, "/token", client, **form).raise_for_status().json()
    assert segment(refreshed["id_token"], 0)["kid"] in fresh
    assert set(provider.rotate_keys(keep_previous=False)) == published_kids(http, provider)


def test_a_published_document_is_served_to_the_provider(provider: driver.Provider, http: httpx2.Client) -> None:
    """What a test publishes stands at its URL under the clients' origin."""
    document = public_jwks(provider.keys)
    assert http.get(provider.publish("/some-keys", document)).json() == document


def test_an_opaque_token_can_be_introspected(provider: driver.Provider, http: httpx2.Client) -> None:
    """The opaque resource gives tokens for introspection and revocation, which refuse JWTs."""
    client = provider.clients["secret-basic"]
    form = {"grant_type": "client_credentials", "scope": "api:read"}
    opaque, structured = (
        post(http, provider, "/token", client, resource=resource, **form).json()["access_token"]
        for resource in (OPAQUE_RESOURCE, JWT_RESOURCES["ES256"])
    )
    assert post(http, provider, "/token/introspection", client, token=opaque).json()["active"] is True
    assert post(http, provider, "/token/introspection", client, token=structured).status_code == 400


def test_no_process_outlives_its_test_run(tmp_path: Path, provider: driver.Provider) -> None:
    """Closing stdin is enough to end the provider, so nothing is left behind by a killed test run."""
    assert provider.clients  # the packages are installed
    short_lived = driver.Provider(tmp_path)
    process = short_lived._process
    short_lived.close()
    assert process.returncode == 0


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_missing_node_fails_in_ci_and_is_told_elsewhere(tmp_path: Path, ci: str, code: int) -> None:
    """Without node the run says what was left out and how to get it, and fails where CI is set."""
    test = "tests/e2e/test_provider.py::test_each_issuer_publishes_its_own_metadata"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", test, "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "inner")],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert "1 left out, Node provider: node is not installed; to get it: `make test` brings Node" in done.stdout
