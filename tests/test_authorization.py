"""The front channel: authorization requests that go out, and callbacks that come in, before anything is believed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from py_identity_model._core.discovery.metadata import DiscoveryDocumentResponse
from py_identity_model._core.login import authorization
from py_identity_model._core.login.authorization import (
    AuthorizationRequest,
    build_authorization_parameters,
    build_authorization_url,
)
from py_identity_model._core.login.callback import (
    AuthorizeCallbackResponse,
    parse_authorize_callback_response,
    parse_callback_values,
    read_callback,
)
from py_identity_model._core.login.callback_checks import (
    AuthorizeCallbackValidationResult,
    validate_authorize_callback_issuer,
    validate_authorize_callback_state,
)
from py_identity_model._core.login.pkce import (
    check_pkce_support,
    generate_code_challenge,
    generate_code_verifier,
    generate_pkce_pair,
)
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    FailedResponseAccessError,
    PyIdentityModelException,
)

ENDPOINT = "https://id.example.com/authorize"
BACK = "https://app.example.com/cb"
ISSUER = "https://id.example.com"
Result = AuthorizeCallbackValidationResult
parse = parse_authorize_callback_response


def refusal(*args, **kwargs):
    """The code of the refusal that parsing ends in."""
    with pytest.raises(AuthorizeCallbackException) as caught:
        parse_callback_values(read_callback(*args, **kwargs))
    return caught.value.code


def unbuildable(**changes):
    """The code of the refusal to build such a request."""
    with pytest.raises(ConfigurationException) as caught:
        build_authorization_url(**{**GOOD, **changes})
    return caught.value.code


GOOD = {"authorization_endpoint": ENDPOINT, "client_id": "app", "redirect_uri": BACK}


# ---- what comes in


def test_a_code_response_is_taken_apart():
    """A response in the query gives code, state and issuer, percent-decoded (RFC 6749 4.1.2, RFC 9207 2)."""
    response = parse(f"{BACK}?code=SplxlOBeZQQYbYS6WxSbIA&state=a+b%2Fc&iss={quote(ISSUER, safe='')}&session_state=s.1")
    assert response.is_successful
    assert (response.code, response.state, response.issuer) == ("SplxlOBeZQQYbYS6WxSbIA", "a b/c", ISSUER)
    assert (response.session_state, response.response_mode, response.address) == ("s.1", "query", BACK)
    assert response.values["iss"] == ISSUER
    assert response.raw.startswith(BACK)
    response.raise_for_error()


def test_a_fragment_response_is_taken_apart():
    """A response in the fragment gives the tokens; the query of the redirect address is left alone (RFC 6749 4.2.2)."""
    url = f"{BACK}?tenant=1#access_token=2YotnFZF&id_token=e.y.J&token_type=Bearer&expires_in=3600&scope=openid&state=s"
    response = parse(url)
    assert (response.access_token, response.identity_token, response.token_type) == ("2YotnFZF", "e.y.J", "Bearer")
    assert (response.expires_in, response.scope, response.response_mode) == (3600, "openid", "fragment")
    assert "tenant" not in response.values


@pytest.mark.parametrize(
    "url", [f"{BACK}?code=c&state=s#_=_", f"{BACK}?code=c&state=s#", "/cb?code=c&state=s", "?code=c&state=s"]
)
def test_a_query_response_is_found(url):
    """A fragment that says nothing, or a URL without a host, does not hide a response in the query."""
    assert (parse(url).code, parse(url).response_mode) == ("c", "query")


def test_a_response_without_code_or_tokens():
    """response_type=none is answered with nothing but state: that is a response as well (OAuth 2.0 Multiple 4)."""
    response = parse(f"{BACK}?state=s")
    assert (response.is_successful, response.code, response.state) == (True, None, "s")


@pytest.mark.parametrize(
    ("callback", "mode"),
    [
        (b"code=c&state=s", "form_post"),
        ("code=c&state=s", "query"),
        ({"code": "c", "state": "s"}, None),
        ([("code", "c"), ("state", "s")], None),
    ],
)
def test_other_shapes_of_a_callback(callback, mode):
    """A form body, a query string and parameters are taken apart like a URL."""
    response = parse_callback_values(read_callback(callback))
    assert (response.code, response.state, response.response_mode) == ("c", "s", mode)


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "access_token", "id_token", "response", "other"])
def test_no_parameter_comes_twice(name):
    """[I6] A parameter that came twice is refused, whatever its values (RFC 6749 3.1, attack O4)."""
    assert refusal(f"{BACK}?code=c&{name}=a&state=s&{name}=a") == "authorization_response_duplicate"
    assert refusal([(name, "a"), (name, "b")]) == "authorization_response_duplicate"
    assert refusal(f"{BACK}#state=s&{name}=&{name}=a") == "authorization_response_duplicate"


@pytest.mark.parametrize("grant", ["code=c", "access_token=t", "id_token=e.y.J"])
def test_a_grant_with_an_error(grant):
    """A response that failed and succeeded at once is refused (attack O4)."""
    assert refusal(f"{BACK}?error=access_denied&state=s&{grant}") == "authorization_response_ambiguous"


def test_query_and_fragment_at_once():
    """A response in the query and another in the fragment are refused: they may be of two people."""
    assert refusal(f"{BACK}?code=a&state=s#code=b&state=s") == "authorization_response_ambiguous"


def test_a_jwt_response_is_not_believed_unverified():
    """[M3] A response in a JWT is not read without being verified, and nothing may stand beside it (attack O4)."""
    assert refusal(f"{BACK}?response=e.y.J") == "jarm_response_unverified"
    assert refusal(f"{BACK}?response=e.y.J&code=c") == "authorization_response_ambiguous"
    assert read_callback(f"{BACK}?response=e.y.J").values == {"response": "e.y.J"}


@pytest.mark.parametrize("callback", ["", "  ", BACK, f"{BACK}?", f"{BACK}#", "?code=&state=", b"", {}, []])
def test_nothing_is_no_response(callback):
    """A callback without parameters is refused; empty ones count as absent (RFC 6749 3.1)."""
    assert refusal(callback) == "authorization_response_empty"


@pytest.mark.parametrize(
    "callback",
    [
        "?code=%ff%fe&state=s",
        "?code=c&state=%ff",
        "?code=a%0d%0aSet-Cookie:x&state=s",
        "?code=%F0%9F%94%91&state=s",
        "?access_token=t&expires_in=-1&state=s",
        "?access_token=t&expires_in=1e3&state=s",
        "https://[::1/cb?code=c",
        "?" + "&".join(f"p{i}=x" for i in range(65)),
        [(f"p{i}", "x") for i in range(65)],
        "code=\u20ac",
    ],
)
def test_malformed_parameters(callback):
    """Bytes that are no UTF-8, control characters, numbers that are none and floods of parameters are refused."""
    assert refusal(callback) == "authorization_response_malformed"


@pytest.mark.parametrize(("name", "limit"), [("state", 8192), ("code", 8192), ("iss", 2048), ("id_token", 65536)])
def test_over_long_values(name, limit):
    """A value longer than any honest one is refused."""
    assert refusal(f"?{name}={'x' * (limit + 1)}") == "authorization_response_too_long"
    assert parse(f"?{name}={'x' * limit}").values[name] == "x" * limit
    assert refusal("?code=" + "x" * 131072) == refusal(b"x" * 131073) == "authorization_response_too_long"


def test_a_mistaken_callback_is_the_callers():
    """What is no callback at all is the caller's mistake; a framework's lists per name are not guessed at."""
    for wrong in ({"code": ["c"]}, [1, 2], None, 7, [("code", None)]):
        with pytest.raises(ConfigurationException) as caught:
            read_callback(wrong)
        assert caught.value.code == "callback_type_invalid"
    with pytest.raises(AuthorizeCallbackException):
        parse(None)


def test_an_error_response():
    """A provider's refusal is a failed response with its error, made safe to print (attack O13)."""
    response = parse(
        f"{BACK}?error=access_denied&error_description=no%0D%0A%1b%5B31mroot%E2%80%AE&error_uri=https://x.example&state=s"
    )
    assert (response.is_successful, response.error, response.error_code) == (False, "access_denied", "access_denied")
    assert response.error_description == "no\\r\\n\\x1b[31mroot\\u202e"
    assert (response.error_uri, response.state) == ("https://x.example", "s")
    with pytest.raises(FailedResponseAccessError, match="code"):
        _ = response.code
    with pytest.raises(AuthorizeCallbackException, match="access_denied") as caught:
        response.raise_for_error()
    assert caught.value.code == "authorization_refused"


def test_published_fields_keep_their_places():
    """AuthorizeCallbackResponse takes its published fields in their published order."""
    parameters = inspect.signature(AuthorizeCallbackResponse).parameters.values()
    names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert names[:6] == ["is_successful", "raw", "values", "code", "access_token", "identity_token"]
    assert names[-4:] == ["session_state", "issuer", "error", "error_description"]
    assert AuthorizeCallbackResponse.__match_args__ == tuple(names)
    response = AuthorizeCallbackResponse(True, "raw", {}, "c", address="https://app.example.com/cb")
    assert response.code == "c"
    assert dataclasses.replace(response, state="s").state == "s"
    assert {f.name for f in dataclasses.fields(response)} == {each.name for each in parameters}
    every = {f.name: f"{f.name} given" for f in dataclasses.fields(response)}
    assert {name: getattr(AuthorizeCallbackResponse(**every), name) for name in every} == every
    failed = AuthorizeCallbackResponse.failed(AuthorizeCallbackException("no", code="state_missing"))
    assert (failed.is_successful, failed.raw, failed.error_code) == (False, None, "state_missing")


def test_no_secret_shows():
    """[S25] Codes, tokens and states stand in no repr, error or pickle of an error."""
    canary = "canary-0123"
    response = parse(f"{BACK}#code={canary}&state={canary}&id_token={canary}&access_token={canary}")
    assert canary not in repr(response) + str(response) + repr(read_callback(f"?code={canary}"))
    for bad in (f"?code={canary}&code={canary}", f"?code={canary}&error={'x' * 9}", f"?code={canary}%00"):
        with pytest.raises(AuthorizeCallbackException) as caught:
            parse(bad)
        assert canary not in str(caught.value) + repr(caught.value.__dict__)
        assert canary.encode() not in pickle.dumps(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


ANY_TEXT = st.text(st.characters(), max_size=20)
CALLBACK_TEXT = st.text(alphabet=st.sampled_from("code=staeirx&?#%/:[]@.+;0fF\u20ac\ud800 \r\n\x00"), max_size=80)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200), CALLBACK_TEXT, st.binary(max_size=80), st.builds("https://a/?{}".format, CALLBACK_TEXT)
    )
)
def test_no_callback_raises_anything_foreign(callback):
    """Whatever comes to the redirect address, it is a response or one of our own refusals."""
    try:
        response = parse_callback_values(read_callback(callback))
        validate_authorize_callback_state(response, "s")
        validate_authorize_callback_issuer(response, ISSUER, iss_parameter_supported=True)
        repr(response)
    except PyIdentityModelException as error:
        str(error).encode()


# ---- state and issuer


@pytest.mark.parametrize(
    ("callback", "expected", "result"),
    [
        ("?code=c&state=s", "s", Result.SUCCESS),
        ("?code=c&state=S", "s", Result.STATE_MISMATCH),
        ("?code=c&state=s2", "s", Result.STATE_MISMATCH),
        ("?code=c&state=%C3%A9", "e", Result.STATE_MISMATCH),
        ("?code=c", "s", Result.MISSING_STATE),
        ("?code=c&state=", "s", Result.MISSING_STATE),
        ("?code=c&state=s", None, Result.MISSING_STATE),
        ("?code=c&state=s", "", Result.MISSING_STATE),
        ("?code=c", None, Result.MISSING_STATE),
        ("?error=access_denied&state=s", "s", Result.ERROR_RESPONSE),
    ],
)
def test_state(callback, expected, result):
    """[S2] A response counts only with the state that was sent; no state is never a match (RFC 6749 10.12)."""
    verdict = validate_authorize_callback_state(parse(callback), expected)
    assert (verdict.result, verdict.is_valid, bool(verdict)) == (result, result == "success", result == "success")
    assert (verdict.error is None) == verdict.is_valid
    if not verdict:
        with pytest.raises(AuthorizeCallbackException):
            verdict.raise_for_error()


OTHER = "https://evil.example.com"


@pytest.mark.parametrize(
    ("callback", "options", "result"),
    [
        (f"?code=c&iss={ISSUER}", {}, Result.SUCCESS),
        ("?code=c&iss=https%3A%2F%2Fid.example.com", {}, Result.SUCCESS),
        (f"?code=c&iss={ISSUER}/", {}, Result.ISSUER_MISMATCH),
        ("?code=c&iss=https://ID.example.com", {}, Result.ISSUER_MISMATCH),
        (f"?code=c&iss={OTHER}", {}, Result.ISSUER_MISMATCH),
        ("?code=c", {}, Result.SUCCESS),
        ("?code=c", {"iss_parameter_supported": True}, Result.MISSING_ISSUER),
        ("?code=c", {"require": True}, Result.MISSING_ISSUER),
        ("?code=c&iss=", {"require": True}, Result.MISSING_ISSUER),
        (f"?error=access_denied&iss={OTHER}", {}, Result.ISSUER_MISMATCH),
        ("?error=access_denied", {"iss_parameter_supported": True}, Result.MISSING_ISSUER),
        (f"?error=access_denied&iss={ISSUER}", {"require": True}, Result.ERROR_RESPONSE),
    ],
)
def test_issuer(callback, options, result):
    """[I1] [I2] [I3] [I4] [I7] [F26] iss is decoded and compared as a string, in errors too (RFC 9207 2.4) (O2)."""
    verdict = validate_authorize_callback_issuer(parse(callback), ISSUER, **options)
    assert (verdict.result, verdict.is_valid) == (result, result == "success")


def test_the_metadata_tells_whether_an_issuer_is_announced():
    """[I3] [I4] With the metadata at hand nobody has to say whether iss must be there, nor from whom."""
    silent = DiscoveryDocumentResponse(True, issuer=ISSUER)
    announcing = DiscoveryDocumentResponse(True, issuer=ISSUER, authorization_response_iss_parameter_supported=True)

    def result(callback, metadata, issuer=ISSUER):
        return validate_authorize_callback_issuer(parse(callback), issuer, metadata=metadata).result

    assert result("?code=c", silent) is Result.SUCCESS
    assert result("?code=c", announcing) is Result.MISSING_ISSUER
    assert result(f"?code=c&iss={ISSUER}", announcing, None) is Result.SUCCESS
    assert result(f"?code=c&iss={OTHER}", announcing, None) is Result.ISSUER_MISMATCH
    with pytest.raises(ConfigurationException):
        result("?code=c", announcing, OTHER)
    with pytest.raises(ConfigurationException):
        result("?code=c", DiscoveryDocumentResponse.failed(ConfigurationException("no metadata")))


def test_an_issuer_that_nobody_expects():
    """[I2] Without an expected issuer a response that names one is refused: None turns no check off."""
    verdict = validate_authorize_callback_issuer(parse(f"?code=c&iss={ISSUER}"), None)
    assert verdict.result is Result.ISSUER_MISMATCH
    with pytest.raises(AuthorizeCallbackException) as caught:
        verdict.raise_for_error()
    assert (caught.value.code, caught.value.claim) == ("authorization_issuer_mismatch", "iss")


# RFC 9207 2.1 and 2.2, the examples of a successful and an error response.
RFC9207_SUCCESS = (
    "?code=x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58"
    "&state=ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI&iss=https%3A%2F%2Fhonest.as.example"
)
RFC9207_ERROR = (
    "?error=access_denied&state=N2JjNGJhY2JiZjRhYzA3MGJkMzNmMDE5OWJhZmJhZjA&iss=https%3A%2F%2Fhonest.as.example"
)


def test_rfc9207_examples():
    """[I1] [I3] The examples of RFC 9207 2.1 and 2.2 are from the honest provider, and not from another."""
    success, error = parse(RFC9207_SUCCESS), parse(RFC9207_ERROR)
    for issuer, first, second in (
        ("https://honest.as.example", Result.SUCCESS, Result.ERROR_RESPONSE),
        ("https://attacker.example", Result.ISSUER_MISMATCH, Result.ISSUER_MISMATCH),
    ):
        assert validate_authorize_callback_issuer(success, issuer, iss_parameter_supported=True).result is first
        assert validate_authorize_callback_issuer(error, issuer, iss_parameter_supported=True).result is second


# ---- PKCE


def test_rfc7636_appendix_b():
    """[S8] [F24] The verifier of RFC 7636 appendix B gives its challenge."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert generate_code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_new_and_long():
    """[S7] [F25] [F39] Each verifier is new, of 43 to 128 unreserved characters, and far above 128 bits of entropy."""
    assert len({generate_code_verifier() for _ in range(100)}) == 100
    for length in (43, 64, 128):
        verifier = generate_code_verifier(length)
        assert len(verifier) == length
        assert len(generate_code_challenge(verifier)) == 43
    verifier, challenge = generate_pkce_pair()
    assert generate_code_challenge(verifier) == challenge
    assert len(generate_pkce_pair(verifier_length=50)[0]) == 50


@pytest.mark.parametrize("length", [42, 129, 0, -1, True, "64", None, 64.0])
def test_verifier_lengths_out_of_range(length):
    """A verifier length outside RFC 7636 4.1 is refused."""
    with pytest.raises(ConfigurationException) as caught:
        generate_code_verifier(length)
    assert caught.value.code == "code_verifier_invalid"


@pytest.mark.parametrize("verifier", ["x" * 42, "x" * 129, "x" * 42 + "+", "x" * 43 + "\n", "", None, b"x" * 43])
def test_malformed_verifiers(verifier):
    """A verifier that RFC 7636 4.1 does not allow is refused, and not shown."""
    with pytest.raises(ConfigurationException) as caught:
        generate_code_challenge(verifier)
    assert caught.value.code == "code_verifier_invalid"
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("method", ["plain", "s256", "S512", "", None])
def test_only_s256(method):
    """[S8] [F24] No challenge method but S256 is used (RFC 9700 2.1.1, attack O3) (O3)."""
    with pytest.raises(ConfigurationException) as caught:
        generate_code_challenge("x" * 43, method)
    assert caught.value.code == "code_challenge_method_refused"
    with pytest.raises(ConfigurationException):
        generate_pkce_pair(method)
    if method is not None:
        assert unbuildable(code_challenge="x" * 43, code_challenge_method=method) == "code_challenge_method_refused"


def test_plain_has_a_loud_name():
    """The method plain can be had, by a name that says what it does."""
    loud = {"allow_challenge_that_shows_the_verifier": True}
    assert generate_code_challenge("x" * 43, "plain", **loud) == "x" * 43
    verifier, challenge = generate_pkce_pair("plain", **loud)
    request = AuthorizationRequest(
        client_id="app", redirect_uri=BACK, code_challenge=challenge, code_challenge_method="plain", **loud
    )
    assert ("code_challenge", verifier) in build_authorization_parameters(request)
    with pytest.raises(ConfigurationException):
        generate_code_challenge("x" * 43, "S512", **loud)


def test_a_provider_without_s256():
    """[S23] A provider whose metadata says it lacks S256 is refused; one that says nothing is not (attack O3)."""
    check_pkce_support(None)
    check_pkce_support(["plain", "S256"])
    for methods in (["plain"], [], ["s256"]):
        with pytest.raises(ConfigurationException) as caught:
            check_pkce_support(methods)
        assert caught.value.code == "pkce_unsupported"


# ---- what goes out


def query(url):
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def test_a_plain_authorization_request():
    """A request has what RFC 6749 4.1.1 asks for, each parameter once, and S256 even if no method was named."""
    url = build_authorization_url(ENDPOINT, "app", BACK, state="s t", nonce="n", code_challenge="c" * 43)
    assert url.startswith(ENDPOINT + "?client_id=app")
    assert dict(query(url)) == {
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": BACK,
        "scope": "openid",
        "state": "s t",
        "nonce": "n",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    assert len(query(url)) == 8


def test_every_option():
    """[S13] Every option goes out under its name: OpenID Connect Core 3.1.2.1, RFC 8707, RFC 9396, RFC 9449 10."""
    options = {
        "prompt": ["login", "consent"],
        "max_age": 0,
        "acr_values": "urn:a urn:b",
        "ui_locales": ("de", "en"),
        "claims_locales": "de",
        "claims": {"id_token": {"email": {"essential": True}}},
        "login_hint": "ada@example.com",
        "id_token_hint": "e.y.J",
        "display": "page",
        "dpop_jkt": "thumbprint",
        "response_mode": "form_post",
        "resource": ["https://a.example", "https://b.example"],
        "authorization_details": [{"type": "payment"}],
        "custom": "x&y",
    }
    sent = parse_qs(urlsplit(build_authorization_url(**GOOD, **options)).query)
    assert sent["resource"] == ["https://a.example", "https://b.example"]
    assert (sent["prompt"], sent["max_age"], sent["ui_locales"]) == (["login consent"], ["0"], ["de en"])
    assert json.loads(sent["claims"][0]) == options["claims"]
    assert json.loads(sent["authorization_details"][0]) == options["authorization_details"]
    assert (sent["custom"], sent["dpop_jkt"], sent["display"]) == (["x&y"], ["thumbprint"], ["page"])
    as_text = {"claims": '{"userinfo":null}', "authorization_details": '[{"type":"a"}]', "max_age": "60"}
    assert parse_qs(urlsplit(build_authorization_url(**GOOD, **as_text)).query)["max_age"] == ["60"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"max_age": -1}, "parameter_invalid"),
        ({"max_age": True}, "parameter_invalid"),
        ({"max_age": "1e3"}, "parameter_invalid"),
        ({"prompt": "none login"}, "parameter_invalid"),
        ({"acr_values": []}, "parameter_invalid"),
        ({"ui_locales": ["de en"]}, "parameter_invalid"),
        ({"claims": "{"}, "parameter_invalid"),
        ({"claims": "[]"}, "parameter_invalid"),
        ({"claims": {"a": float("nan")}}, "parameter_invalid"),
        ({"login_hint": 7}, "parameter_invalid"),
        ({"custom": 7}, "parameter_invalid"),
        ({"custom": "\ud800"}, "parameter_invalid"),
        ({"\udfff": "x"}, "parameter_invalid"),
        ({"state": "a\ud83d"}, "parameter_invalid"),
        ({"resource": "not absolute"}, "resource_invalid"),
        ({"authorization_details": [{"no": "type"}]}, "authorization_details_invalid"),
        ({"client_id": ""}, "parameter_missing"),
        ({"response_type": "token"}, "response_type_refused"),
        ({"response_type": "code code"}, "response_type_invalid"),
        ({"response_type": "Code"}, "response_type_invalid"),
        ({"response_type": ""}, "response_type_invalid"),
        ({"response_type": "code id_token"}, "nonce_missing"),
        ({"code_challenge_method": "S256"}, "parameter_missing"),
        ({"code_challenge": "a b"}, "code_challenge_invalid"),
    ],
)
def test_requests_that_make_no_sense(changes, code):
    """[S10] A parameter that cannot be used safely is refused before a browser is sent anywhere."""
    assert unbuildable(**changes) == code


@pytest.mark.parametrize(
    "name", ["request", "request_uri", "client_secret", "client_assertion", "client_assertion_type", "code_verifier"]
)
def test_extra_does_not_replace_the_request(name):
    """[S21] Extra parameters neither replace the request nor put a secret into a URL."""
    assert unbuildable(**{name: "x"}) == "parameter_reserved"


@pytest.mark.parametrize("name", ["client_id", "state", "nonce", "redirect_uri", "code_challenge", "scope", "prompt"])
def test_extra_does_not_override(name):
    """A parameter that has a field cannot be set in extra, nor by the endpoint's own query: nothing stands twice."""
    request = AuthorizationRequest(client_id="app", redirect_uri=BACK, extra={name: "x"})
    with pytest.raises(ConfigurationException) as caught:
        build_authorization_parameters(request)
    assert (caught.value.code, caught.value.claim) == ("parameter_reserved", name)
    options = {"state": "s", "nonce": "n", "code_challenge": "c", "prompt": "login"}
    assert unbuildable(authorization_endpoint=f"{ENDPOINT}?{name}=x", **options) == "parameter_reserved"


def test_the_endpoints_own_query_is_kept():
    """A query that the endpoint has stays (RFC 6749 3.1)."""
    assert build_authorization_url(ENDPOINT + "?p=1", "app", BACK).startswith(ENDPOINT + "?p=1&client_id=app&")
    assert build_authorization_url(ENDPOINT + "?", "app", BACK).startswith(ENDPOINT + "?client_id=app&")


@pytest.mark.parametrize(
    "endpoint",
    ["http://id.example.com/a", ENDPOINT + "#f", "javascript:alert(1)", "https://u@id.example.com/a", "/a", "", None],
)
def test_unfit_endpoints(endpoint):
    """[F1] The browser is sent to an https URL of a plain host and to nothing else."""
    with pytest.raises(ConfigurationException):
        build_authorization_url(endpoint, "app", BACK)


@pytest.mark.parametrize(
    ("redirect_uri", "code"),
    [
        ("http://app.example.com/cb", "redirect_uri_insecure"),
        ("http://localhost.evil.example/cb", "redirect_uri_insecure"),
        ("http://127.1/cb", "redirect_uri_insecure"),
        ("/cb", "redirect_uri_invalid"),
        ("https://app.example.com/cb#f", "redirect_uri_invalid"),
        ("https://app.example.com/cb#", "redirect_uri_invalid"),
        ("https:///cb", "redirect_uri_invalid"),
        ("https://u:p@app.example.com/cb", "redirect_uri_invalid"),
        ("https://app.example.com\\@evil.example/cb", "redirect_uri_invalid"),
        ("https://[::1/cb", "redirect_uri_invalid"),
        ("javascript:alert(1)", "redirect_uri_invalid"),
        ("data:text/html,x", "redirect_uri_invalid"),
        ("https://app.example.com/c b", "redirect_uri_invalid"),
        ("https://app.example.com/\r\nx", "redirect_uri_invalid"),
        ("https://\u0430pp.example.com/cb", "redirect_uri_invalid"),
        ("", "redirect_uri_invalid"),
        (None, "redirect_uri_invalid"),
    ],
)
def test_unfit_redirect_addresses(redirect_uri, code):
    """[S18] [S28] The response goes to https, to this very machine or to an app, and never to a script."""
    assert unbuildable(redirect_uri=redirect_uri) == code


@pytest.mark.parametrize(
    "redirect_uri", [BACK, BACK + "?tenant=1", "http://127.0.0.1:8000/cb", "http://[::1]/cb", "com.example.app:/cb"]
)
def test_redirect_addresses_go_out_exactly(redirect_uri):
    """A redirect address goes out character by character (RFC 9700 4.1.3)."""
    assert dict(query(build_authorization_url(ENDPOINT, "app", redirect_uri)))["redirect_uri"] == redirect_uri


def test_insecure_redirect_addresses_have_a_loud_name():
    """[S18] Plain http to another machine takes a long name."""
    request = AuthorizationRequest(
        client_id="app", redirect_uri="http://app.test/cb", allow_redirect_uri_over_insecure_http=True
    )
    assert ("redirect_uri", "http://app.test/cb") in build_authorization_parameters(request)


def test_requests_hide_their_secrets():
    """[S25] A request shows neither state nor nonce nor hints."""
    request = AuthorizationRequest(
        client_id="app",
        redirect_uri=BACK,
        state="canary",
        nonce="canary",
        id_token_hint="canary",
        extra={"k": "canary"},
    )
    assert "canary" not in repr(request)
    assert authorization.response_type_set("id_token code") == {"code", "id_token"}


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3), st.text(max_size=30), st.text(max_size=30)
)
def test_whatever_goes_out_comes_back(extra, state, login_hint):
    """A request is refused, or its URL reads as exactly the parameters that were given."""
    request = AuthorizationRequest(client_id="app", redirect_uri=BACK, state=state, login_hint=login_hint, extra=extra)
    try:
        pairs = build_authorization_parameters(request)
        url = authorization.add_to_endpoint(ENDPOINT, pairs)
    except ConfigurationException:
        return
    assert query(url) == pairs == parse_qsl(urlencode(pairs), keep_blank_values=True)
