"""Client authentication: eight methods in one table, the choice between them, and what goes over the wire."""

from __future__ import annotations

import base64
import json
import logging
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, parse_qsl, unquote_plus

import pytest

from py_identity_model._core.base.flow import ClientCertificate
from py_identity_model._core.base.provider_words import secrets_of
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.client.assertions import JwtBearerAssertion, build_client_assertion
from py_identity_model._core.client.client_auth import (
    CLIENT_ASSERTION_TYPE,
    METHODS,
    ClientAuthMethod,
    ClientRequest,
    MtlsClientAuth,
    PrivateKeyJwt,
    authenticate,
    choose_auth_method,
)
from py_identity_model._core.client.form_post import build_client_request
from py_identity_model._core.client.grants import ClientCredentialsTokenRequest
from py_identity_model._core.client.userinfo import UserInfoRequest, build_userinfo
from py_identity_model._core.jose.jws import parse_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, prepare
from py_identity_model.exceptions import ConfigurationException, DiscoveryHTTPSRequiredError

ENDPOINT = "https://id.example.com/token"
ISSUER = "https://id.example.com"
WALL = 1_800_000_000.9
SECRET = "canary-secret-0123456789-0123456789"
EC_KEY = SigningKey.generate("ES256")
MTLS = MtlsClientAuth("cert.pem", "key.pem")
SELF_SIGNED = MtlsClientAuth("cert.pem", "key.pem", auth_method="self_signed_tls_client_auth")
KEY_JWT = PrivateKeyJwt(EC_KEY)


@dataclass(repr=False)
class Ask(ClientRequest):
    client_id: str = "app"
    client_secret: str | Secret | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    mtls: MtlsClientAuth | None = None


def ask(**fields):
    return Ask(ENDPOINT, **fields)


def proof(issuer=ISSUER, **fields):
    return authenticate(ask(**fields), ENDPOINT, issuer, WALL)


def chosen(**fields):
    return choose_auth_method(ask(**fields)).name.value


def assertion_of(made):
    return parse_compact(dict(made.form)["client_assertion"])


def refused(**fields):
    with pytest.raises(ConfigurationException) as error:
        proof(**fields)
    return error.value.code


# ---- the methods


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-fapi-interaction-id": "c770aef3-6784-41f7-8e0e-ff5f97bddb3a", "x-request": "2 b"}, None),
        ({"Authorization": "Bearer x"}, "header_field_reserved"),
        ({"DPOP": "x"}, "header_field_reserved"),
        ({"content-type": "text/plain"}, "header_field_reserved"),
        ({"Content-Length": "1"}, "header_field_reserved"),
        ({"x-a": "1", "X-A": "2"}, "header_field_reserved"),
        ({"x-a": "1\r\nx-b: 2"}, "header_invalid"),
        ({"x a": "1"}, "header_invalid"),
        ({"x-a": "\u00e9"}, "header_invalid"),
        ({"": "1"}, "header_invalid"),
        ({"x-a": 5}, "header_invalid"),
    ],
)
def test_header_fields_of_the_callers_own(headers, code):
    """Further header fields go along, such as x-fapi-interaction-id; none replaces one of the request's own."""
    asked = ClientCredentialsTokenRequest("https://id.example.com/token", "app", client_secret="s" * 9, headers=headers)
    about = UserInfoRequest("https://id.example.com/userinfo", "token", headers=headers)
    for build in (lambda: build_client_request(asked, [], 0.0), lambda: build_userinfo(about)):
        if code is None:
            assert headers.items() <= dict(build().headers).items()
        else:
            with pytest.raises(ConfigurationException) as caught:
                build()
            assert caught.value.code == code
    assert all(str(value) not in repr(asked) for value in headers.values() if len(str(value)) > 2)


def test_a_public_client_names_itself_in_the_body():
    """Method none sends client_id and nothing else (RFC 6749 3.2.1)."""
    assert proof() == ((), (("client_id", "app"),), None)


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [("app", "s"), ("a:b", "c:d"), ("a b+c", "%41&=?"), ("größe", "пароль~*-._"), ("x", "\u20ac " + "\U0001f511")],
)
def test_basic_form_encodes_each_part(client_id, secret):
    """Colons, percent signs, plus signs and letters beyond ASCII survive client_secret_basic (RFC 6749 2.3.1) (O12)."""
    made = proof(client_id=client_id, client_secret=secret)
    scheme, _, value = dict(made.headers)["Authorization"].partition(" ")
    name, _, password = base64.b64decode(value).decode("ascii").partition(":")
    assert scheme == "Basic"
    assert (unquote_plus(name), unquote_plus(password)) == (client_id, secret)
    assert made.form == ()


def test_basic_is_the_example_of_the_rfc():
    """The Authorization header is that of RFC 6749 2.3.1."""
    made = proof(client_id="s6BhdRkqt3", client_secret="7Fjfp0ZBr1KtDRbnfVdmIw")
    assert dict(made.headers)["Authorization"] == "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"


def test_post_puts_the_secret_in_the_body():
    """client_secret_post sends both in the form, and a wrapped secret is unwrapped."""
    made = proof(client_secret=Secret(SECRET), auth_method="client_secret_post")
    assert made == ((), (("client_id", "app"), ("client_secret", SECRET)), None)


def test_private_key_jwt_is_an_assertion_about_itself():
    """[F9] [F12] [F34] [S16] private_key_jwt: iss and sub are the client, aud is the issuer as one string."""
    made = proof(private_key_jwt=KEY_JWT)
    jws = assertion_of(made)
    claims = json.loads(jws.payload)
    assert dict(made.form)["client_assertion_type"] == CLIENT_ASSERTION_TYPE
    assert jws.header == {"alg": "ES256", "typ": "client-authentication+jwt"}
    assert prepare(import_key(EC_KEY.public_jwk), "ES256").verify(jws.signing_input, jws.signature)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "app", ISSUER)
    assert (claims["iat"], claims["exp"]) == (1_800_000_000, 1_800_000_300)
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}


def test_assertions_have_their_own_jti():
    """[F39] No two assertions share a jti, and each jti holds 192 bits."""
    made = {json.loads(assertion_of(proof(private_key_jwt=KEY_JWT)).payload)["jti"] for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.urlsafe_b64decode(jti)) == 24 for jti in made)


@pytest.mark.parametrize(
    ("override", "issuer", "expected"),
    [(None, ISSUER, ISSUER), ("https://other", ISSUER, "https://other"), (None, None, ENDPOINT)],
)
def test_the_audience_is_the_issuer_or_who_receives_the_assertion(override, issuer, expected):
    """[F12] aud: the override, else the issuer, else the very address posted to; never an array (O7)."""
    made = proof(issuer, private_key_jwt=PrivateKeyJwt(EC_KEY, audience=override))
    assert json.loads(assertion_of(made).payload)["aud"] == expected


@pytest.mark.parametrize("algorithm", ["PS256", "RS256", "ES256", "ES384", "EdDSA", "Ed25519"])
def test_pem_keys_sign_with_the_algorithm_and_kid_given(algorithm):
    """A PEM key of every family signs, as text, bytes or Secret, and is read once."""
    key = SigningKey.generate(algorithm)
    for pem in (key.private_pem, key.private_pem.encode(), Secret(key.private_pem)):
        config = PrivateKeyJwt(pem, algorithm, "k1", lifetime=60)
        jws = assertion_of(proof(private_key_jwt=config))
        assert (jws.header["alg"], jws.header["kid"]) == (algorithm, "k1")
        assert prepare(import_key(key.public_jwk), algorithm).verify(jws.signing_input, jws.signature)
        assert json.loads(jws.payload)["exp"] - json.loads(jws.payload)["iat"] == 60
        assert config.signing_key() is config.signing_key()


def test_any_callable_signs():
    """A KMS or HSM signs the assertion; the key itself is never needed."""
    asked = []

    def kms(data):
        asked.append(data)
        return EC_KEY.sign(data)

    jws = assertion_of(proof(private_key_jwt=PrivateKeyJwt(SigningKey.from_callable(kms, "ES256", "hsm-1"))))
    assert asked == [jws.signing_input]
    assert jws.header["kid"] == "hsm-1"


def test_a_failing_signer_is_one_of_our_errors():
    """What a signing callable raises is not passed on: it may hold what it was given."""

    def kms(data):
        raise RuntimeError(SECRET)

    with pytest.raises(ConfigurationException) as error:
        proof(private_key_jwt=PrivateKeyJwt(SigningKey.from_callable(kms, "ES256")))
    assert error.value.code == "signing_failed"
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__

    def odd(data):
        return b"short"

    assert refused(private_key_jwt=PrivateKeyJwt(SigningKey.from_callable(odd, "ES256"))) == "signature_unusable"


def test_secret_jwt_is_signed_with_the_secret():
    """client_secret_jwt: HS256 with the UTF-8 of the secret (OpenID Connect Core 9)."""
    made = proof(client_secret=SECRET, auth_method="client_secret_jwt")
    jws = assertion_of(made)
    key = import_key({"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")})
    assert jws.header == {"alg": "HS256", "typ": "client-authentication+jwt"}
    assert prepare(key, "HS256").verify(jws.signing_input, jws.signature)
    assert json.loads(jws.payload)["aud"] == ISSUER


def test_secret_jwt_wants_a_long_secret_and_an_hmac():
    """[J13] A secret shorter than the hash does not sign, and no asymmetric algorithm takes a secret."""
    method = {"auth_method": "client_secret_jwt"}
    assert refused(client_secret="short", **method) == "secret_too_short"
    asymmetric = {"client_secret_jwt_algorithm": "RS256"}
    assert refused(client_secret=SECRET, **method, **asymmetric) == "client_assertion_alg_invalid"


@pytest.mark.parametrize("mtls", [MTLS, SELF_SIGNED])
def test_mtls_sends_client_id_and_certificate(mtls):
    """[F9] [F8] Mutual TLS puts client_id in the body and the certificate on the connection (RFC 8705 2)."""
    made = proof(mtls=mtls)
    assert made == ((), (("client_id", "app"),), ClientCertificate("cert.pem", "key.pem"))
    assert chosen(mtls=mtls) == mtls.auth_method


def test_the_certificate_goes_along_with_any_method():
    """[S11] [F8] A certificate that only binds tokens travels whatever authenticates the client (RFC 8705 3)."""
    made = proof(private_key_jwt=KEY_JWT, mtls=MTLS)
    assert "client_assertion" in dict(made.form)
    assert made.certificate == ClientCertificate("cert.pem", "key.pem")
    public = proof(mtls=MTLS, auth_method=ClientAuthMethod.NONE)
    assert public.certificate is not None


def test_attestation_is_ready():
    """Attestation sends two headers made for the issuer, beside the client_id."""
    asked = []

    def attest(audience):
        asked.append(audience)
        return "a.b.c", "d.e.f"

    made = proof(attestation=attest)
    assert made.headers == (("OAuth-Client-Attestation", "a.b.c"), ("OAuth-Client-Attestation-PoP", "d.e.f"))
    assert made.form == (("client_id", "app"),)
    assert asked == [ISSUER]
    assert refused(attestation=lambda _: ("a.b.c", "x\r\nEvil: 1")) == "client_attestation_invalid"
    assert refused(attestation=lambda _: (None, "a.b.c")) == "client_attestation_invalid"
    assert refused(attestation=lambda _: 1 / 0) == "signing_failed"

    def ours(_):
        raise ConfigurationException("no", code="ours")

    assert refused(attestation=ours) == "ours"


# ---- the choice


def test_every_method_is_one_row():
    """The table has each method once; the enum has the published names and ours."""
    assert [m.name for m in METHODS].count(ClientAuthMethod.NONE) == 1
    assert {m.name for m in METHODS} == set(ClientAuthMethod)
    assert ClientAuthMethod.CLIENT_SECRET_BASIC == "client_secret_basic"


@pytest.mark.parametrize(
    ("fields", "supported", "expected"),
    [
        ({}, None, "none"),
        ({}, ["client_secret_basic"], "none"),
        ({"client_secret": SECRET}, None, "client_secret_basic"),
        ({"client_secret": SECRET}, ["client_secret_post", "private_key_jwt"], "client_secret_post"),
        ({"client_secret": SECRET}, ["client_secret_jwt"], "client_secret_jwt"),
        ({"client_secret": SECRET}, ["client_secret_jwt", "client_secret_basic"], "client_secret_basic"),
        ({"client_secret": SECRET, "private_key_jwt": KEY_JWT}, None, "private_key_jwt"),
        ({"client_secret": SECRET, "private_key_jwt": KEY_JWT}, ["client_secret_basic"], "client_secret_basic"),
        ({"private_key_jwt": KEY_JWT, "mtls": MTLS}, ["tls_client_auth"], "tls_client_auth"),
        ({"private_key_jwt": KEY_JWT, "mtls": MTLS}, ["tls_client_auth", "private_key_jwt"], "private_key_jwt"),
        ({"attestation": lambda _: ("a", "b")}, ["attest_jwt_client_auth"], "attest_jwt_client_auth"),
    ],
)
def test_the_method_is_chosen_from_the_metadata(fields, supported, expected):
    """[S17] [S16] The stronger of the methods that fit credentials and metadata is used, if none is named."""
    assert chosen(**fields, auth_methods_supported=supported) == expected


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"client_secret": SECRET, "auth_methods_supported": ["private_key_jwt"]}, "client_auth_unsupported"),
        # a credential that was given is never silently left out
        ({"client_secret": SECRET, "auth_methods_supported": ["none"]}, "client_auth_unsupported"),
        ({"mtls": MTLS, "auth_methods_supported": ["self_signed_tls_client_auth"]}, "client_auth_unsupported"),
        ({"auth_methods_supported": []}, "client_auth_methods_invalid"),
        ({"auth_methods_supported": "client_secret_basic"}, "client_auth_methods_invalid"),
        ({"auth_method": "private_key_jwt"}, "client_auth_credential_missing"),
        ({"auth_method": "tls_client_auth", "mtls": SELF_SIGNED}, "client_auth_credential_missing"),
        ({"auth_method": "client_secret_basic"}, "client_auth_credential_missing"),
        ({"auth_method": "client_secret_post", "client_secret": ""}, "client_auth_credential_missing"),
        ({"auth_method": "client_secret_jwt", "client_secret": ""}, "client_auth_credential_missing"),
        ({"auth_method": "password\x1b[2J"}, "client_auth_method_invalid"),
        ({"auth_method": ""}, "client_auth_method_invalid"),
        ({"client_id": ""}, "client_id_missing"),
    ],
)
def test_what_does_not_fit_is_a_configuration_error(fields, code):
    """Methods without credential, without support or without sense are refused before anything is sent."""
    assert refused(**fields) == code


def test_a_named_method_wins_over_the_metadata():
    """auth_method is obeyed, as enum or text, even if the metadata does not list it."""
    for name in ("client_secret_post", ClientAuthMethod.CLIENT_SECRET_POST):
        assert chosen(client_secret=SECRET, auth_method=name, auth_methods_supported=["private_key_jwt"]) == name


def test_an_empty_secret_is_none():
    """An empty text is how a public client has always been spelled: it identifies itself and proves nothing."""
    assert chosen(client_secret="") == chosen() == ClientAuthMethod.NONE
    assert chosen(client_secret="", auth_methods_supported=["client_secret_basic"]) == ClientAuthMethod.NONE
    assert chosen(client_secret="", mtls=MTLS) == ClientAuthMethod.TLS_CLIENT_AUTH


# ---- configuration values


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"algorithm": "HS256"}, "client_assertion_alg_invalid"),
        ({"algorithm": "none"}, "client_assertion_alg_invalid"),
        ({"audience": ""}, "client_assertion_audience_invalid"),
        ({"audience": [ISSUER]}, "client_assertion_audience_invalid"),
        ({"lifetime": 0}, "lifetime_invalid"),
        ({"lifetime": 3601}, "lifetime_invalid"),
        ({"lifetime": True}, "lifetime_invalid"),
        ({"lifetime": 60.0}, "lifetime_invalid"),
    ],
)
def test_private_key_jwt_checks_its_values(fields, code):
    """[J6] Symmetric algorithms, none, empty or several audiences and odd lifetimes are refused at construction."""
    with pytest.raises(ConfigurationException) as error:
        PrivateKeyJwt(EC_KEY.private_pem, **fields)
    assert error.value.code == code


def test_keys_must_fit():
    """A key of another kind, garbage, or a missing password is refused without a word of it being repeated."""
    canary = "-----BEGIN canary-0123456789-----"
    for config in (PrivateKeyJwt(EC_KEY.private_pem), PrivateKeyJwt(canary)):
        with pytest.raises(ConfigurationException) as error:
            proof(private_key_jwt=config)
        assert error.value.code in ("signing_key_mismatch", "signing_key_unreadable")
        assert "canary" not in str(error.value)


def test_mtls_checks_its_values():
    """A certificate without key, and methods that are no TLS methods, are refused."""
    for fields, code in (
        (("", "key"), "client_certificate_missing"),
        (("cert", ""), "client_certificate_missing"),
        (("cert", "key", None, "private_key_jwt"), "client_auth_method_invalid"),
    ):
        with pytest.raises(ConfigurationException) as error:
            MtlsClientAuth(*fields)
        assert error.value.code == code


def test_published_positions():
    """PrivateKeyJwt and MtlsClientAuth take their arguments in the published order, with the published defaults."""
    config = PrivateKeyJwt("pem")
    assert (config.algorithm, config.kid, config.audience, config.lifetime) == ("PS256", None, None, 300)
    assert PrivateKeyJwt("pem", "ES256", "k", "aud", 60) == PrivateKeyJwt(
        private_key="pem", algorithm="ES256", kid="k", audience="aud", lifetime=60
    )
    assert (MTLS.password, MTLS.auth_method) == (None, "tls_client_auth")
    assert MtlsClientAuth("c", "k", "p").client_certificate() == ClientCertificate("c", "k", "p")


def test_the_typ_can_be_another():
    """Older providers want typ JWT; build_client_assertion takes it."""
    token = build_client_assertion(EC_KEY, "app", ISSUER, WALL, typ="JWT")
    assert parse_compact(token).header["typ"] == "JWT"


# ---- the form


def test_the_request_is_a_form_post():
    """build_client_request: parameters in order, None left out, extra at the end, authentication among them."""
    request = build_client_request(
        ask(client_secret=SECRET, auth_method="client_secret_post", extra={"prompt": "a b"}),
        [("a", "1"), ("b", None), ("a", Secret("2"))],
        WALL,
        headers=(("X-Test", "1"),),
    )
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert dict(request.headers) == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
        "X-Test": "1",
    }
    assert parse_qsl(request.body.decode()) == [
        ("a", "1"), ("a", "2"), ("client_id", "app"), ("client_secret", SECRET), ("prompt", "a b"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a", "grant_type", "client_id", "client_secret", "client_assertion"])
def test_extra_adds_and_never_replaces(name):
    """A parameter is sent once (RFC 6749 3.2): extra must not repeat what the request sets, nor bring credentials."""
    with pytest.raises(ConfigurationException) as error:
        build_client_request(ask(extra={name: "x"}), [("a", "1")], WALL)
    assert error.value.code == "parameter_reserved"


def test_extra_is_text():
    """Values that are no text are refused instead of being written somehow."""
    with pytest.raises(ConfigurationException) as error:
        build_client_request(ask(extra={"max_age": 3}), [], WALL)
    assert error.value.code == "parameter_invalid"


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({"client_id": "canary\ud800"}, []),
        ({"client_id": 7}, []),
        ({"client_id": "app", "client_secret": "canary\ud800"}, []),
        ({"client_id": "app", "client_secret": "canary\ud800", "auth_method": "client_secret_post"}, []),
        ({"client_id": "app", "client_secret": 7}, []),
        ({"client_id": "app"}, [("token", "canary\ud800")]),
        ({"client_id": "app"}, [("token", 7)]),
    ],
)
def test_what_has_no_utf_8_is_refused(fields, parameters):
    """Half a surrogate pair, or what is no text, is one of our errors, and it does not hold the text."""
    with pytest.raises(ConfigurationException) as error:
        build_client_request(ask(**fields), parameters, WALL)
    assert error.value.code == "parameter_invalid"
    assert "canary" not in str(error.value) + repr(vars(error.value)) + repr(error.value.__context__)


def test_secrets_travel_over_tls_only():
    """[F1] Plain http is refused, except to this machine or when allowed by its long name."""
    fields = {"client_id": "app", "client_secret": SECRET}
    with pytest.raises(DiscoveryHTTPSRequiredError):
        build_client_request(Ask("http://id.example.com/token", **fields), [], WALL)
    build_client_request(Ask("http://127.0.0.1:8080/token", **fields), [], WALL)
    build_client_request(Ask("http://id.internal/token", **fields, allow_insecure_http=True), [], WALL)
    for address in ("", "https://user:pw@id.example.com/t", "ftp://id.example.com/t", "https://id.example.com/t#f"):
        with pytest.raises(ConfigurationException):
            build_client_request(Ask(address, **fields), [], WALL)


# ---- nothing shows


def test_secrets_do_not_show(caplog):
    """[S25] Neither repr nor str of requests, credentials and what is made of them shows a secret; no log does."""
    caplog.set_level(logging.DEBUG)
    pem = EC_KEY.private_pem
    request = ask(
        client_secret=SECRET,
        private_key_jwt=PrivateKeyJwt(pem, "ES256"),
        mtls=MtlsClientAuth("cert.pem", "canary-key", "canary-password"),
        extra={"x": "canary-extra"},
    )
    texts = [caplog.text]
    for method in ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"):
        request.auth_method = method
        made = authenticate(request, ENDPOINT, ISSUER, WALL)
        sent = build_client_request(request, [("code", SECRET)], WALL)
        texts += [repr(made), repr(sent), repr(request), str(request)]
        texts += [
            repr(PrivateKeyJwt(pem, password="canary-password")),
            repr(request.private_key_jwt),
            repr(request.mtls),
            repr(JwtBearerAssertion(pem, "i", "s", "a")),
        ]
    assert not [text for text in texts if re.search(r"canary|PRIVATE|\beyJ", text)]


def test_secrets_of_a_request_are_known():
    """The texts to black out are the redacted fields, longest first, wrapped or not, those in mappings too."""
    request = ask(client_secret=Secret(SECRET), extra={"a": "longer-than-four", "b": "abc"})
    assert secrets_of(request) == [SECRET, "longer-than-four"]
    assert secrets_of(ask()) == []


def test_parse_qs_sees_no_empty_secret():
    """A public client's body has no empty client_secret, which some providers would take for a wrong one."""
    assert set(parse_qs(build_client_request(ask(), [], WALL).body.decode(), keep_blank_values=True)) == {"client_id"}
