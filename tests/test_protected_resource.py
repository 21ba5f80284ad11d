"""A protected resource: the token of a request, whether it may be used, by whom, and what to do otherwise."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback

import pytest
import trustme

import py_identity_model.aio._protected_resource as aio_api
import py_identity_model.sync._protected_resource as sync_api
from py_identity_model._core.base.response import BaseResponse
from py_identity_model._core.binding.challenges import ChallengePolicy, build_refusal, parse_challenges
from py_identity_model._core.binding.dpop_client import DPoPKey, build_dpop_proof
from py_identity_model._core.binding.dpop_nonces import DPoPNonces
from py_identity_model._core.binding.dpop_server import DPoPValidator
from py_identity_model._core.binding.inbound_request import InboundRequest, ProxyPolicy
from py_identity_model._core.binding.mtls import compute_certificate_thumbprint
from py_identity_model._core.resource.presented_token import PresentedToken, classify_token, read_token
from py_identity_model._core.resource.protected_resource import (
    AuthenticationRequirement,
    asking,
    authenticate_token,
    check_authentication,
    check_introspected,
    check_scopes,
    check_sender,
    is_client_token,
    parse_step_up,
)
from py_identity_model.exceptions import (
    CertificateBindingError,
    ConfigurationException,
    DPoPValidationException,
    InsufficientScopeException,
    InsufficientUserAuthenticationException,
    InvalidAudienceException,
    InvalidRequestException,
    MissingCredentialsException,
    NetworkException,
    PyIdentityModelException,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenValidationException,
    TransportException,
)

URL = "https://api.example.com/orders"
NOW = 1_800_000_000.0
JWT = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
OPAQUE = "mF_9.B5f-4.1JqM"  # RFC 6750 2.1: the token of the example
KEY = DPoPKey()
CLIENT = trustme.CA().issue_cert("client.example").cert_chain_pems[0].bytes()
ACTIVE = {"active": True, "aud": "api", "sub": "ada", "exp": NOW + 60}


def request(*authorization, url=URL, **facts):
    headers = tuple(("Authorization", value) for value in authorization)
    return InboundRequest("GET", url, headers + facts.pop("headers", ()), **facts)


def refused(kind, function, *args, **kwargs):
    """Return the exception; it must not repeat the token, and must have the status of its class."""
    with pytest.raises(kind) as error:
        function(*args, **kwargs)
    assert "canary" not in str(error.value) + repr(vars(error.value)) + "".join(
        traceback.format_exception(error.value)[-1:]
    )
    return error.value


# ---- the token of a request


def test_the_example_of_rfc_6750_2_1():
    """[F29] RFC 6750 2.1: the example header carries the token."""
    assert read_token(request(f"Bearer {OPAQUE}")) == PresentedToken("Bearer", OPAQUE)


def test_the_example_of_rfc_9449_7_1():
    """[F29] RFC 9449 7.1: the example header carries the token with the scheme DPoP."""
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    assert read_token(request(f"DPoP {token}")) == PresentedToken("DPoP", token)


@pytest.mark.parametrize("spelling", ["bearer", "BEARER", "bEaReR", "dpop", "DPOP"])
def test_schemes_have_no_case(spelling):
    """RFC 9110 11.1: the scheme is recognised in any case, and the header's name too."""
    scheme = "DPoP" if spelling.lower() == "dpop" else "Bearer"
    assert read_token(request(f"  {spelling}   {JWT}  ")).scheme == scheme
    lower = InboundRequest("GET", URL, (("AUTHORIZATION", f"{spelling} {JWT}"),))
    assert read_token(lower).token == JWT


@pytest.mark.parametrize(
    "headers",
    [(), ("Basic dXNlcjpw",), ("Negotiate",), ("",), ("Digest a=b",), ('Digest a="Bearer x, Bearer y", b = c, d=e',)],
)
def test_no_credentials(headers):
    """[B2] Without a token the answer is 401, and its challenge names no error."""
    error = refused(MissingCredentialsException, read_token, request(*headers))
    refusal = build_refusal(error)
    assert refusal.status == 401
    assert dict(refusal.headers)["www-authenticate"] == "Bearer"
    assert refusal.body == b""


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (("Bearer canary-a", "Bearer canary-b"), "credentials_ambiguous"),
        (("Bearer canary-a", "DPoP canary-b"), "credentials_ambiguous"),
        (("Bearer canary-a", "Basic canary"), "credentials_ambiguous"),
        (("Bearer canary-a, Bearer canary-b",), "credentials_ambiguous"),
        (("Bearer canary-a,DPoP canary-b",), "credentials_ambiguous"),
        (("Basic canary", "Bearer canary-b"), "credentials_ambiguous"),
        (("Basic canary, Bearer canary-b",), "credentials_ambiguous"),
        (('Digest a="b", c=d, Bearer canary-b',), "credentials_ambiguous"),
        (("Basic canary,Negotiate",), "credentials_ambiguous"),
        ((", Bearer canary-b",), "credentials_ambiguous"),
        ((",Bearer canary-b",), "credentials_ambiguous"),
        (("Bearer",), "credentials_malformed"),
        (("Bearer ",), "credentials_malformed"),
        (("Bearer canary a",), "credentials_malformed"),
        (("Bearer canary\ta",), "credentials_malformed"),
        (('Bearer "canary"',), "credentials_malformed"),
        (("Bearer canary=a",), "credentials_malformed"),
        (("Bearer canary\u00e9",), "credentials_malformed"),
        (("Bearer " + "canary" * 20_000,), "token_too_large"),
    ],
)
def test_one_way_and_one_token(headers, code):
    """[B1] [D15] Several or malformed credentials are answered with 400 invalid_request."""
    error = refused(InvalidRequestException, read_token, request(*headers))
    assert (error.code, build_refusal(error).status) == (code, 400)


@pytest.mark.parametrize(
    "url",
    [
        URL + "?access_token=canary",
        URL + "?a=b&access_token=canary",
        URL + "?access_token=",
        URL + "?access_token",
        URL + "?access%5Ftoken=canary",
        URL + "?access_token=canary&access_token=canary",
    ],
)
@pytest.mark.parametrize("headers", [(), ("Bearer canary",)])
def test_no_token_in_the_query(url, headers):
    """[S21] [F30] [B1] A token in the query is refused, alone and beside the header (O14)."""
    error = refused(InvalidRequestException, read_token, request(*headers, url=url))
    assert (error.code, error.client_error.error) == ("token_in_query", "invalid_request")


@pytest.mark.parametrize("headers", [(), ("Bearer canary",)])
def test_no_token_in_the_body(headers):
    """[B1] [F29] A form field access_token is refused, alone and beside the header."""
    error = refused(InvalidRequestException, read_token, request(*headers), form=["a", "access_token"])
    assert error.code == "token_in_body"
    assert read_token(request("Bearer abc"), form=["a"]).token == "abc"


def test_a_request_without_a_url():
    """An address that makes no URL is a malformed request, not a crash."""
    error = refused(InvalidRequestException, read_token, request("Bearer abc", url="https://[broken"))
    assert error.code == "request_url_invalid"


def test_reading_is_linear():
    """A long header is read, or refused, in no time."""
    started = time.process_time()
    for value in ("Bearer " + "=" * 65_000, "Bearer " + "a=" * 32_000, "Bearer" + " " * 65_000, "B" * 65_000):
        with pytest.raises(PyIdentityModelException):
            read_token(request(value))
    assert time.process_time() - started < 0.2


def test_a_token_does_not_show():
    """[S25] Neither the presented token nor the request shows it."""
    presented = read_token(request("Bearer canary-token"))
    assert "canary" not in repr(presented) + str(presented) + repr(request("Bearer canary-token"))


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (JWT, "jwt"),
        ("eyJhbGciOiJub25lIn0.e30.", "jwt"),
        ("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", "jwt"),
        (OPAQUE, "opaque"),
        ("2YotnFZFEjr1zCsicMWpAA", "opaque"),
        ("a.b.c", "opaque"),
        ("W10.e30.c2ln", "opaque"),
        ("eyJhbGciOiJFUzI1NiJ9.e30", "opaque"),
        ("a.b.c.d.e.f", "opaque"),
        ("", "opaque"),
    ],
)
def test_jwt_or_opaque(token, kind):
    """RFC 7515 7.1, RFC 7516 7.1: three or five segments behind a JSON object make a JWT."""
    assert classify_token(token) == kind


# ---- validation


class Refuses(TokenValidationException):
    """A refusal of the test."""


def says(answer):
    asked = []

    def function(token):
        asked.append(token)
        if isinstance(answer, Exception):
            raise answer
        return answer

    function.asked = asked
    return function


def validated(perform, token, jwt=None, introspection=None, **fields):
    flow = authenticate_token(
        token,
        asking(jwt) if jwt else None,
        asking(introspection) if introspection else None,
        **{"audience": "api", **fields},
    )
    return perform(flow)[0]


def test_each_token_goes_its_way(perform):
    """A JWT is validated here, an opaque token by introspection; nobody sees the other's."""
    jwt, introspection = says({"sub": "jwt"}), says(ACTIVE)
    assert validated(perform, JWT, jwt, introspection) == {"sub": "jwt"}
    assert validated(perform, OPAQUE, jwt, introspection) == ACTIVE
    assert (jwt.asked, introspection.asked) == ([JWT], [OPAQUE])


def test_a_refused_jwt_is_not_asked_about(perform):
    """[S14] A JWT that was refused has no second chance by introspection."""
    introspection = says(ACTIVE)
    for error in (Refuses("no"), NetworkException("down")):
        with pytest.raises(type(error)):
            validated(perform, JWT, says(error), introspection)
    assert introspection.asked == []


def test_every_token_may_go_to_introspection(perform):
    """Without a validator of JWTs every token is asked about."""
    introspection = says(ACTIVE)
    assert validated(perform, JWT, None, introspection) == ACTIVE
    assert introspection.asked == [JWT]


def test_an_opaque_token_without_introspection(perform):
    """[F31] A token that nobody can read is refused."""
    with pytest.raises(TokenValidationException) as error:
        validated(perform, "canary-opaque", says({}))
    assert error.value.code == "token_opaque"
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"jwt": None, "introspection": None}, "token_validation_missing"),
        ({"jwt": says({}), "audience": ""}, "policy_invalid"),
        ({"jwt": says({}), "audience": []}, "policy_invalid"),
        ({"introspection": says(ACTIVE), "leeway": -1}, "policy_invalid"),
        ({"introspection": says(ACTIVE), "leeway": float("nan")}, "policy_invalid"),
    ],
)
def test_no_check_is_turned_off_by_nothing(perform, fields, code):
    """[S14] Without validators, or with an empty audience, nothing is accepted: it is a configuration error."""
    with pytest.raises(ConfigurationException) as error:
        validated(perform, OPAQUE, **fields)
    assert error.value.code == code


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"active": False, "aud": "api"},
        {"active": "true", "aud": "api"},
        {"active": 1, "aud": "api"},
        [],
        "yes",
    ],
)
def test_only_true_is_active(perform, answer):
    """RFC 7662 2.2: anything but active true is an inactive token."""
    with pytest.raises(TokenValidationException) as error:
        validated(perform, OPAQUE, None, says(answer))
    assert error.value.code == "token_inactive"


def test_responses_of_introspection(perform):
    """A response value is read by its claims; a failed one raises what made it fail, as 503."""

    class Answer(BaseResponse):
        claims = ACTIVE

    assert validated(perform, OPAQUE, None, says(Answer(True))) == ACTIVE
    failed = Answer.failed(TransportException("lost", code="connection_lost"))
    with pytest.raises(NetworkException) as error:
        validated(perform, OPAQUE, None, says(failed))
    assert error.value.client_error.status == 503


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"exp": NOW}, TokenExpiredException, "token_expired"),
        ({"exp": NOW - 1}, TokenExpiredException, "token_expired"),
        ({"nbf": NOW + 1}, TokenNotYetValidException, "token_not_yet_valid"),
        ({"aud": "other"}, InvalidAudienceException, "audience_mismatch"),
        ({"aud": "API"}, InvalidAudienceException, "audience_mismatch"),
        ({"aud": ["other", 5]}, InvalidAudienceException, "audience_mismatch"),
        ({"aud": None}, InvalidAudienceException, "audience_mismatch"),
        ({"aud": {"api": 1}}, InvalidAudienceException, "audience_mismatch"),
        ({"aud": []}, InvalidAudienceException, "audience_mismatch"),
        ({"exp": "soon"}, TokenValidationException, None),
        ({"exp": True}, TokenValidationException, None),
    ],
)
def test_an_introspected_token_is_checked(change, kind, code):
    """[S14] [S27] [F31] Time and audience of an introspected token are checked here as well."""
    error = refused(kind, check_introspected, {**ACTIVE, **change}, "api", wall=NOW)
    assert code is None or error.code == code
    assert error.client_error.status == 401


def test_introspection_may_leave_things_out():
    """RFC 7662 2.2: exp is optional; a missing aud is accepted only by the loud name; leeway counts both ways."""
    check_introspected({"active": True, "aud": ["x", "api"]}, {"api", "b"}, wall=NOW)
    check_introspected({"active": True}, "api", wall=NOW, allow_missing_audience=True)
    check_introspected({**ACTIVE, "exp": NOW - 5, "nbf": NOW + 5}, "api", wall=NOW, leeway=10)
    with pytest.raises(InvalidAudienceException):
        check_introspected({**ACTIVE, "aud": "b"}, "api", wall=NOW, allow_missing_audience=True)


# ---- what a token may do


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"sub": "app", "client_id": "app"}, True),
        ({"sub": "app", "azp": "app"}, True),
        ({"client_id": "app"}, True),
        ({"sub": "x", "client_id": "app", "idtyp": "app"}, True),
        ({"sub": "ada", "client_id": "app"}, False),
        ({"sub": "ada"}, False),
    ],
)
def test_clients_are_no_users(claims, client):
    """[S31] A token of a client itself is told apart from one of a user."""
    assert is_client_token(claims) is client


@pytest.mark.parametrize("claims", [{"scope": "read write"}, {"scp": ["read", "write"]}, {"scp": "write read x"}])
def test_granted_scopes(claims):
    """[F32] Scopes are read from scope and scp, text and list; all that are required must be there."""
    check_scopes(claims, "read", "write")
    error = refused(InsufficientScopeException, check_scopes, claims, "read", "delete")
    assert error.scope == ("read", "delete")


@pytest.mark.parametrize("claims", [{}, {"scope": ""}, {"scope": "readall"}, {"scope": ["x"]}, {"scope": {"read": 1}}])
def test_a_missing_scope_is_403(claims):
    """[B3] [F32] A scope that was not granted is answered with 403 insufficient_scope and the scope that is needed."""
    error = refused(InsufficientScopeException, check_scopes, claims, "read", "write")
    refusal = build_refusal(error)
    [challenge] = parse_challenges([dict(refusal.headers)["www-authenticate"]])
    assert refusal.status == 403
    assert (challenge.get("error"), challenge.get("scope")) == ("insufficient_scope", "read write")


def test_some_scope_is_required():
    """No scope, or an empty one, is a configuration error."""
    for scopes in ((), ("",), ("a", None)):
        refused(ConfigurationException, check_scopes, {"scope": "a"}, *scopes)


@pytest.mark.parametrize(
    "error",
    [
        TokenExpiredException("x"),
        InvalidAudienceException("x"),
        TokenValidationException("x", code="token_inactive"),
        TokenValidationException("x", code="token_opaque"),
    ],
)
def test_every_invalid_token_looks_the_same(error):
    """[T7] The client learns invalid_token and nothing more (T8)."""
    refusal = build_refusal(error, ChallengePolicy(realm="api"))
    assert refusal.status == 401
    assert dict(refusal.headers)["www-authenticate"] == (
        'Bearer realm="api", error="invalid_token", error_description="The token is not valid"'
    )


# ---- who may use it

DPOP_CLAIMS = {"sub": "ada", "cnf": {"jkt": KEY.jwk_thumbprint}}
MTLS_CLAIMS = {"sub": "ada", "cnf": {"x5t#S256": compute_certificate_thumbprint(CLIENT)}}


def sender(perform, claims, scheme="Bearer", proofs=(), certificate=None, url=URL, peer=None, headers=(), **policy):
    inbound = InboundRequest(
        "GET", url, (*(("DPoP", proof) for proof in proofs), *headers), peer=peer, certificate=certificate
    )
    return perform(check_sender(inbound, PresentedToken(scheme, OPAQUE), claims, **policy))[0]


def proof(key=KEY, **facts):
    return build_dpop_proof(key, "GET", URL, **{"wall": NOW, "access_token": OPAQUE, **facts})


def test_an_unbound_token_is_anybodys(perform):
    """A plain bearer token needs no proof, unless every token must be bound."""
    assert sender(perform, {"sub": "ada"}) is None
    for claims in ({"sub": "ada"}, {"sub": "ada", "cnf": {}}):
        with pytest.raises(TokenValidationException) as error:
            sender(perform, claims, require_binding=True)
        assert error.value.code == "token_unbound"


def test_a_dpop_bound_token(perform):
    """[S11] [S26] [F33] [D12] A bound token comes with a proof of its key, for this token and this request."""
    said = sender(perform, DPOP_CLAIMS, "DPoP", [proof()], dpop=DPoPValidator(), require_binding=True)
    assert said.jkt == KEY.jwk_thumbprint


@pytest.mark.parametrize("with_proof", [True, False])
def test_no_downgrade_to_bearer(perform, with_proof):
    """[D14] A DPoP-bound token that comes as Bearer is refused, with a proof beside it too."""
    with pytest.raises(DPoPValidationException) as error:
        sender(perform, DPOP_CLAIMS, "Bearer", [proof()] if with_proof else [], dpop=DPoPValidator())
    assert error.value.code == "dpop_token_as_bearer"
    assert error.value.client_error.error == "invalid_token"


@pytest.mark.parametrize(
    ("claims", "proofs", "code"),
    [
        (DPOP_CLAIMS, [], "dpop_proof_missing"),
        (DPOP_CLAIMS, [proof(), proof()], "dpop_proof_duplicate"),
        (DPOP_CLAIMS, [proof(DPoPKey())], "dpop_key_mismatch"),
        (DPOP_CLAIMS, [proof(access_token="other")], "dpop_ath_mismatch"),
        (DPOP_CLAIMS, [proof(wall=NOW - 3600)], "dpop_proof_expired"),
        ({"sub": "ada"}, [proof()], "dpop_token_unbound"),
        (MTLS_CLAIMS, [proof()], "certificate_missing"),
    ],
)
def test_proofs_that_do_not_belong(perform, claims, proofs, code):
    """[S26] [F33] [D1] [D12] A missing, doubled, foreign or old proof, or a token bound to nothing, is refused."""
    with pytest.raises(TokenValidationException) as error:
        sender(perform, claims, "DPoP", proofs, dpop=DPoPValidator())
    assert error.value.code == code


def test_a_proof_serves_once(perform):
    """[S26] [D17] The same proof is refused the second time."""
    validator, text = DPoPValidator(), proof()
    assert sender(perform, DPOP_CLAIMS, "DPoP", [text], dpop=validator)
    with pytest.raises(DPoPValidationException):
        sender(perform, DPOP_CLAIMS, "DPoP", [text], dpop=validator)


def test_a_resource_without_dpop(perform):
    """A resource that takes no DPoP refuses bound tokens: it could not check them."""
    with pytest.raises(DPoPValidationException) as error:
        sender(perform, DPOP_CLAIMS, "DPoP", [proof()])
    assert (error.value.code, error.value.client_error.error) == ("dpop_unsupported", "invalid_token")


def test_a_nonce_is_asked_for(perform):
    """[D10] [D13] Without the server's nonce the answer is use_dpop_nonce, and names the algorithms."""
    validator = DPoPValidator(nonces=DPoPNonces(b"k" * 32))
    with pytest.raises(DPoPValidationException) as error:
        sender(perform, DPOP_CLAIMS, "DPoP", [proof()], dpop=validator)
    policy = ChallengePolicy(("DPoP",), dpop_algorithms=("ES256",))
    refusal = build_refusal(error.value, policy, dpop_nonce=validator.challenge_nonce(NOW))
    [challenge] = parse_challenges([dict(refusal.headers)["www-authenticate"]])
    assert (challenge.scheme, challenge.get("error"), challenge.get("algs")) == ("DPoP", "use_dpop_nonce", "ES256")
    nonce = dict(refusal.headers)["dpop-nonce"]
    assert sender(perform, DPOP_CLAIMS, "DPoP", [proof(nonce=nonce)], dpop=validator)


def test_a_certificate_bound_token(perform):
    """[S11] [F33] RFC 8705 3: the certificate of the connection is the one the token is bound to."""
    assert sender(perform, MTLS_CLAIMS, certificate=CLIENT, require_binding=True) is None
    other = trustme.CA().issue_cert("other.example").cert_chain_pems[0].bytes()
    for certificate, code in ((None, "certificate_missing"), (other, "certificate_mismatch")):
        with pytest.raises(CertificateBindingError) as error:
            sender(perform, MTLS_CLAIMS, certificate=certificate)
        assert error.value.code == code


def test_a_forwarded_certificate(perform):
    """[S29] A certificate in a header counts from a trusted proxy only."""
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    der = x509.load_pem_x509_certificate(CLIENT).public_bytes(Encoding.DER)
    headers = (("Client-Cert", ":" + base64.b64encode(der).decode() + ":"),)
    proxies = ProxyPolicy(trusted_proxies=("10.0.0.1",))
    assert sender(perform, MTLS_CLAIMS, headers=headers, peer="10.0.0.1", proxies=proxies) is None
    for policy in (proxies, None):
        with pytest.raises(CertificateBindingError):
            sender(perform, MTLS_CLAIMS, headers=headers, peer="192.0.2.7", proxies=policy)


def test_a_token_bound_twice(perform):
    """A token that is bound to a key and a certificate needs both."""
    claims = {"cnf": {**DPOP_CLAIMS["cnf"], **MTLS_CLAIMS["cnf"]}}
    assert sender(perform, claims, "DPoP", [proof()], CLIENT, dpop=DPoPValidator())
    with pytest.raises(CertificateBindingError):
        sender(perform, claims, "DPoP", [proof()], dpop=DPoPValidator())
    with pytest.raises(DPoPValidationException):
        sender(perform, claims, "Bearer", certificate=CLIENT)


@pytest.mark.parametrize(
    ("cnf", "code"),
    [
        ({"jwk": {"kty": "oct"}}, "cnf_unsupported"),
        ({"kid": "a"}, "cnf_unsupported"),
        ({"x5t": "a"}, "cnf_unsupported"),
        ("jkt", "cnf_invalid"),
        (None, "cnf_invalid"),
        ([], "cnf_invalid"),
        ({"jkt": None}, "cnf_invalid"),
        ({"jkt": ""}, "cnf_invalid"),
        ({"jkt": ["a"]}, "cnf_invalid"),
    ],
)
@pytest.mark.parametrize("require_binding", [True, False])
def test_a_binding_that_cannot_be_checked(perform, cnf, code, require_binding):
    """[F33] A token that is bound in another way, or to null, is not taken for an unbound one."""
    with pytest.raises(TokenValidationException) as error:
        sender(perform, {"sub": "ada", "cnf": cnf}, require_binding=require_binding)
    assert error.value.code == code


@pytest.mark.parametrize("thumbprint", [None, "", 5, ["a"]])
def test_a_certificate_binding_to_nothing(perform, thumbprint):
    """[F33] A thumbprint that is none is refused, whatever certificate there is."""
    with pytest.raises(TokenValidationException):
        sender(perform, {"cnf": {"x5t#S256": thumbprint}}, certificate=CLIENT)


# ---- step-up

STEP_UP = 'Bearer error="insufficient_user_authentication", '


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        (
            STEP_UP + 'error_description="A different authentication level is required", acr_values="myACR"',
            AuthenticationRequirement(("myACR",)),
        ),
        (
            STEP_UP + 'error_description="More recent authentication is required", max_age="5"',
            AuthenticationRequirement(max_age=5),
        ),
        (
            'DPoP algs="ES256", error="insufficient_user_authentication", acr_values="a b", max_age=0',
            AuthenticationRequirement(("a", "b"), 0),
        ),
    ],
)
def test_the_examples_of_rfc_9470_3(text, requirement):
    """RFC 9470 3: the example challenges say how the user must authenticate."""
    assert parse_step_up(parse_challenges([text])) == requirement


@pytest.mark.parametrize(
    "text",
    [
        "Bearer",
        'Bearer error="invalid_token", acr_values="a"',
        'Bearer error="insufficient_user_authentication"',
        'Bearer error="insufficient_user_authentication", max_age="-1"',
        'Bearer error="insufficient_user_authentication", max_age="soon", acr_values=" "',
        'Bearer error="insufficient_user_authentication", max_age="' + "9" * 400 + '"',
    ],
)
def test_challenges_that_ask_for_nothing(text):
    """A challenge that asks for nothing that can be sent leads to no new authentication."""
    assert parse_step_up(parse_challenges([text])) is None


@pytest.mark.parametrize(
    ("requirement", "claims", "code"),
    [
        (AuthenticationRequirement(("a", "b")), {"acr": "c"}, "acr_insufficient"),
        (AuthenticationRequirement(("a",)), {}, "acr_insufficient"),
        (AuthenticationRequirement(("a",)), {"acr": ["a"]}, "acr_insufficient"),
        (AuthenticationRequirement(max_age=60), {}, "auth_time_missing"),
        (AuthenticationRequirement(max_age=60), {"auth_time": NOW - 61}, "auth_time_too_old"),
        (AuthenticationRequirement(max_age=0), {"auth_time": NOW - 1}, "auth_time_too_old"),
        (AuthenticationRequirement(max_age=60), {"auth_time": NOW + 1}, "auth_time_in_future"),
        (AuthenticationRequirement(("a",), 60), {"acr": "a", "auth_time": NOW - 61}, "auth_time_too_old"),
    ],
)
def test_insufficient_authentication(requirement, claims, code):
    """RFC 9470 3: the refusal is 401 insufficient_user_authentication and says what is needed."""
    error = refused(InsufficientUserAuthenticationException, check_authentication, claims, requirement, wall=NOW)
    assert error.code == code
    refusal = build_refusal(error)
    assert refusal.status == 401
    assert parse_step_up(parse_challenges([dict(refusal.headers)["www-authenticate"]])) == requirement


def test_sufficient_authentication():
    """Any of the contexts will do; max_age counts from auth_time, with leeway; max_age 0 means this very moment."""
    check_authentication({"acr": "b"}, AuthenticationRequirement(("a", "b")), wall=NOW)
    check_authentication({"auth_time": NOW - 60}, AuthenticationRequirement(max_age=60), wall=NOW)
    check_authentication({"auth_time": NOW}, AuthenticationRequirement(max_age=0), wall=NOW)
    check_authentication({"auth_time": NOW - 65}, AuthenticationRequirement(max_age=60), wall=NOW, leeway=5)


@pytest.mark.parametrize("auth_time", ["now", True, None, [NOW]])
def test_auth_time_is_a_date(auth_time):
    """An auth_time that is no date satisfies nothing."""
    with pytest.raises(PyIdentityModelException):
        check_authentication({"auth_time": auth_time}, AuthenticationRequirement(max_age=60), wall=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"acr_values": ()},
        {"acr_values": ""},
        {"acr_values": [""]},
        {"acr_values": ("a b",)},
        {"acr_values": [], "max_age": 5},
        {"max_age": -1},
        {"max_age": True},
        {"max_age": 1.5},
    ],
)
def test_a_requirement_requires_something(fields):
    """An empty requirement is a configuration error, not one that everybody meets."""
    with pytest.raises(ConfigurationException):
        AuthenticationRequirement(**fields)


# ---- both APIs


def test_both_apis(api):
    """Both APIs validate and check the same way; in aio the callables may be coroutine functions."""
    api_module = sync_api if api.name == "sync" else aio_api

    async def introspect(token):
        await asyncio.sleep(0) if api.name == "asyncio" else None
        return {"active": True, "aud": "api"}

    answers = [lambda token: {"active": True, "aud": "api"}] + ([introspect] if api.name != "sync" else [])
    for ask in answers:
        assert api.call(api_module.authenticate_token, OPAQUE, None, ask, audience="api")["active"] is True
    claims = {"cnf": {"x5t#S256": compute_certificate_thumbprint(CLIENT)}}
    inbound = request(f"Bearer {OPAQUE}", certificate=CLIENT)
    assert api.call(api_module.check_sender, inbound, read_token(inbound), claims) is None
    with pytest.raises(CertificateBindingError):
        api.call(api_module.check_sender, request(f"Bearer {OPAQUE}"), read_token(inbound), claims)


def test_the_sync_api_refuses_awaitables():
    """A coroutine function in the sync API is a configuration error, never ignored."""

    async def introspect(token):
        return ACTIVE

    with pytest.raises(ConfigurationException) as error:
        sync_api.authenticate_token(OPAQUE, None, introspect, audience="api")
    assert error.value.code == "awaitable_refused"


def test_signatures():
    """Both APIs have the same names and parameters."""
    assert sync_api.__all__ == aio_api.__all__
    for name in ("authenticate_token", "check_sender"):
        mine, theirs = (inspect.signature(getattr(api_module, name)) for api_module in (sync_api, aio_api))
        assert [p.name for p in mine.parameters.values()] == [p.name for p in theirs.parameters.values()]
