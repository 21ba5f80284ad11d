"""Attacks where two features meet: every token goes down the cold, the warm, the remembered and the batch path.

Each test names the class of attack in parentheses: A signatures, P parsing, C claims, K keys, E encryption, O protocol,
T transport.
"""

from __future__ import annotations

import ast
import base64
import hmac
import importlib
import json
import pickle
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import py_identity_model as package
import py_identity_model.aio as awaitable
import py_identity_model.sync as blocking
from apis import ISSUER, NOW, Api, Provider
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jwks import JwksRequest
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation import validator as validator_module
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.defaults import WINDOW
from py_identity_model._core.validation.issuers import IssuerTemplate, TrustedIssuer
from py_identity_model.exceptions import (
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
)
from py_identity_model.observability import Event, add_observer

KEY = SigningKey.generate("ES256", kid="k1")
TENANTS = "https://{tenant}.tenants.example.com"


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def events() -> list[Event]:
    """Whatever is told during the test."""
    seen: list[Event] = []
    add_observer(seen.append)
    return seen


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(payload: bytes, header: dict[str, Any] | bytes | None = None) -> str:
    """Sign any octets as a payload, under any header."""
    marks = {"alg": "ES256", "kid": "k1"} if header is None else header
    first = marks if isinstance(marks, bytes) else json.dumps(marks).encode()
    signing_input = f"{encoded(first)}.{encoded(payload)}"
    return f"{signing_input}.{encoded(KEY.sign(signing_input.encode()))}"


def verdict(call: Callable[[], Any]) -> str:
    """Return the code of a refusal, or ``ok``; anything that is not ours comes through."""
    try:
        call()
    except PyIdentityModelException as error:
        return error.code
    return "ok"


@pytest.fixture
def judge(api: Api, provider: Provider, clock: Any) -> Callable[..., str]:
    """Judge a token cold, warm, with remembered tokens and in a batch; all must say the same."""

    def judge(token: Any, *, warmed: bool = True, **options: Any) -> str:
        options = {"audience": "api", "http_client": provider, **options}
        said = []
        for remembered in (None, 16):
            validator = api.validator(ISSUER, cache_tokens=remembered, **options)
            if warmed:
                api.call(validator.validate, provider.token())
            said += [verdict(lambda: api.call(validator.validate, token)) for _ in range(3)]  # noqa: B023
            said += [getattr(one, "code", "ok") for one in api.call(validator.validate_many, [token, token])]
        assert len(set(said)) == 1, said
        return said[0]

    return judge


# ---- tokens


@pytest.mark.parametrize("warmed", [True, False])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1" + "0" * 399, "-1" + "0" * 399, "1e300", "-1e300"])
def test_a_number_that_no_float_holds_is_no_date(
    judge: Any, provider: Provider, name: str, value: str, warmed: bool
) -> None:
    """A date of hundreds of digits is refused like any other malformed one, signed or not (P9) (C1)."""
    claims = json.dumps({**provider.claims(), name: 0}).replace(f'"{name}": 0', f'"{name}": {value}').encode()
    assert judge(signed(claims), warmed=warmed) == "claim_type_invalid"
    forged = signed(claims, {"alg": "ES256", "kid": "unknown"})
    assert judge(forged, warmed=warmed) == "claim_type_invalid"


@pytest.mark.parametrize("value", ["9" * 401, "9" * 4301, "1e400", "NaN", "-Infinity"])
def test_a_number_that_is_none_is_refused(judge: Any, provider: Provider, value: str) -> None:
    """What is no finite number of a readable length makes the payload malformed (P2) (P9)."""
    claims = json.dumps({**provider.claims(), "exp": 0}).replace('"exp": 0', f'"exp": {value}').encode()
    assert judge(signed(claims)) == "payload_invalid"


@pytest.mark.parametrize("depth", [33, 500, 20_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_json_is_refused(judge: Any, provider: Provider, depth: int, brackets: str) -> None:
    """Whatever is nested beyond measure is refused in payload and header alike (P3)."""
    deep = "[" * depth + "]" * depth if brackets == "[]" else '{"a":' * depth + "0" + "}" * depth
    if depth <= 500:
        claims = json.dumps({**provider.claims(), "x": 0}).replace('"x": 0', f'"x": {deep}').encode()
        assert judge(signed(claims)) == "payload_invalid"
    header = f'{{"alg":"ES256","kid":"k1","x":{deep}}}'.encode()
    assert judge(signed(json.dumps(provider.claims()).encode(), header)) in (
        "header_invalid",
        "header_too_large",
        "token_too_large",
    )


@pytest.mark.parametrize("aud", [[["api"]], ["api", ["api"]], {"api": 1}, ["api", None], ["api", 1], [], "", [""]])
def test_an_audience_of_another_shape_is_refused(judge: Any, provider: Provider, aud: Any) -> None:
    """aud is a string or a flat list of strings, not empty; nothing else is searched for our name (C5)."""
    assert judge(provider.token(aud=aud)) == "claim_type_invalid"


@pytest.mark.parametrize("aud", ["API", "api ", "\uff41pi", "a\u200bpi", "ap", "apis", "xapi", "api\x00"])
def test_an_audience_that_looks_alike_is_another(judge: Any, provider: Provider, aud: str) -> None:
    """Audiences are compared code point by code point, whole (C5) (P13)."""
    assert judge(provider.token(aud=aud)) == "audience_mismatch"


def test_one_name_in_two_normal_forms_is_two_names(judge: Any, provider: Provider) -> None:
    """An audience in NFC is not the one in NFD (P13)."""
    assert judge(provider.token(aud="cafe\u0301"), audience=["caf\u00e9", "api"]) == "audience_mismatch"
    assert judge(provider.token(aud="caf\u00e9"), audience=["caf\u00e9", "api"]) == "ok"


@pytest.mark.parametrize(
    "iss",
    [ISSUER + "/", ISSUER.upper(), ISSUER[:-1], ISSUER + ".evil.org", ISSUER + "\u200b", "https://id.ex\u0430mple.com"],
)
def test_an_issuer_that_looks_alike_is_another(judge: Any, provider: Provider, iss: str) -> None:
    """Issuers are compared code point by code point, whole (C4) (P13)."""
    assert judge(provider.token(iss=iss)) == "issuer_mismatch"


@pytest.mark.parametrize("iss", [[ISSUER], {"iss": ISSUER}, 1, True, "", None])
def test_an_issuer_is_one_string(judge: Any, provider: Provider, iss: Any) -> None:
    """A list, an object or nothing in place of the issuer is refused (C4)."""
    assert judge(provider.token(iss=iss)) in ("claim_type_invalid", "claim_missing")


@pytest.mark.parametrize("kid", [1, 1.5, True, None, ["k1"], {"k1": 1}, "x" * 257, "x" * 8_000])
def test_a_kid_of_another_type_is_refused(judge: Any, provider: Provider, kid: Any) -> None:
    """A kid is a string of at most 256 characters (K1)."""
    claims = json.dumps(provider.claims()).encode()
    assert judge(signed(claims, {"alg": "ES256", "kid": kid})) == "header_invalid"


# ---- issuers that an application brings


def brought(api: Api, provider: Provider, **options: Any) -> Any:
    """Build a validator that trusts the provider by name, and whatever the options bring."""
    template = IssuerTemplate(
        TENANTS.replace("{tenant}.tenants", "tenants") + "/{tenant}",
        jwks_uri=ISSUER + "/jwks",
        **{"trust_every_value_of_the_template": True, **options},
    )
    return api.validator([ISSUER, template], "api", http_client=provider)


def tenant(provider: Provider, name: str, **changes: Any) -> str:
    return provider.token(iss=f"https://tenants.example.com/{name}", **changes)


def test_forged_names_push_no_issuer_out(
    api: Api, provider: Provider, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of issuers that fit a template costs neither the issuers known by name nor tenants in use (K5)."""
    monkeypatch.setattr(validator_module, "MAX_ISSUERS", 8)
    validator = brought(api, provider)
    assert api.call(validator.validate, tenant(provider, "honest"))
    forger = SigningKey.generate("ES256", kid="k1")
    for number in range(20):
        assert verdict(lambda: api.call(validator.validate, tenant(provider, f"t{number}", key=forger))) != "ok"  # noqa: B023
    assert len(validator._validator.by_issuer) == 2
    for number in range(20):
        assert api.call(validator.validate, tenant(provider, f"t{number}"))
    assert len(validator._validator.by_issuer) == 9
    for _ in range(2):
        assert api.call(validator.validate, provider.token())["iss"] == ISSUER


def test_a_template_is_not_allowed_by_a_part_of_a_text() -> None:
    """A single string is no container of values: every part of it would be in it (C4)."""
    with pytest.raises(ConfigurationException) as caught:
        IssuerTemplate("https://id.example.com/{tenant}", allowed="contoso")
    assert caught.value.claim == "allowed"


def test_what_an_application_raises_is_no_verdict(api: Api, provider: Provider, clock: Any) -> None:
    """A resolver or a template that raises leaves the question open: 503, and an exception of ours (K10)."""

    def raising(issuer: str) -> Any:
        raise KeyError(issuer)

    resolving = api.validator(audience="api", issuer_resolver=raising, http_client=provider)
    allowing = brought(api, provider, allowed=raising, trust_every_value_of_the_template=False)
    for validator, token in ((resolving, provider.token()), (allowing, tenant(provider, "t"))):
        with pytest.raises(NetworkException) as caught:
            api.call(validator.validate, token)
        assert caught.value.code == "issuer_undecided"
        (outcome,) = api.call(validator.validate_many, [token])
        assert outcome.code == "issuer_undecided"


@pytest.mark.parametrize("remembered", [None, 16])
def test_an_issuer_that_is_gone_is_refused(api: Api, provider: Provider, clock: Any, remembered: int | None) -> None:
    """The application is asked again about issuers it brought, on the warm path and in batches too (K13) (T9)."""
    known: dict[str, Any] = {ISSUER: TrustedIssuer(ISSUER, audience="api")}
    asked: list[str] = []

    def resolve(issuer: str) -> Any:
        asked.append(issuer)
        answer = known.get(issuer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    validator = api.validator(issuer_resolver=resolve, audience="web", http_client=provider, cache_tokens=remembered)
    token = provider.token(exp=NOW + 100_000)
    for _ in range(5):
        assert api.call(validator.validate, token)
    assert len(asked) == 1
    # While nobody can say, what was said before counts.
    known[ISSUER] = OSError("the registry is down")
    clock.advance(300)
    assert api.call(validator.validate, token)
    assert api.call(validator.validate_many, [token])[0]["sub"] == "ada"
    assert len(asked) == 2
    # Another answer holds at once when it is given.
    known[ISSUER] = TrustedIssuer(ISSUER, audience="other")
    clock.advance(30)
    assert verdict(lambda: api.call(validator.validate, token)) == "audience_mismatch"
    known[ISSUER] = None
    clock.advance(300)
    outcome = api.call(validator.validate_many, [token])[0]
    assert isinstance(outcome, InvalidIssuerException)
    assert verdict(lambda: api.call(validator.validate, token)) == "issuer_mismatch"


def test_tenants_that_share_keys_are_told_apart_in_a_batch(api: Api, provider: Provider, clock: Any) -> None:
    """A batch judges each token by its own issuer, though one tenant is known and all sign with the same key (C4)."""
    template = IssuerTemplate("https://tenants.example.com/{tenant}", allowed={"a", "b"}, jwks_uri=ISSUER + "/jwks")
    validator = api.validator(template, "api", http_client=provider)
    assert api.call(validator.validate, tenant(provider, "a"))
    outcomes = api.call(validator.validate_many, [tenant(provider, "b"), tenant(provider, "c"), tenant(provider, "a")])
    assert [getattr(one, "code", "ok") for one in outcomes] == ["ok", "issuer_mismatch", "ok"]


def test_places_of_a_long_batch_share_nothing(api: Api, provider: Provider, clock: Any) -> None:
    """A token that comes again far away in a batch has claims of its own there too (T11)."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    token = provider.token(groups=["a"])
    outcomes = api.call(validator.validate_many, [token, *("x" * (n + 1) for n in range(WINDOW)), token])
    assert outcomes[0] == outcomes[-1]
    outcomes[0]["groups"].append("admin")
    assert outcomes[-1]["groups"] == ["a"]


# ---- settings that would weaken a check


def test_settings_are_watched_to_the_bottom(api: Api, provider: Provider, clock: Any) -> None:
    """A claim added to what is required, or an audience changed in a set, holds from the next call on (C13)."""
    config = TokenValidationConfig(perform_disco=True, audience="api", options={"require": ["sub"]})

    def validate() -> str:
        return verdict(lambda: api.call(api.module.validate_token, provider.token(), config, ISSUER, provider))

    assert validate() == "ok"
    config.options["require"].append("jti")  # type: ignore[index]
    assert validate() == "claim_missing"
    config.options = None
    config.audience = {"api"}  # type: ignore[assignment]
    assert validate() == "ok"
    config.audience.remove("api")  # type: ignore[union-attr]
    config.audience.add("other")  # type: ignore[union-attr]
    assert validate() == "audience_mismatch"


@pytest.mark.parametrize("address", [[ISSUER], {"a": 1}, 5, b"https://id.example.com"])
def test_an_address_of_another_type_is_a_mistake_of_the_caller(
    api: Api, provider: Provider, clock: Any, address: Any
) -> None:
    """An address that is no string is a configuration error, never a TypeError (C13)."""
    config = TokenValidationConfig(perform_disco=True, audience="api")
    with pytest.raises(ConfigurationException):
        api.call(api.module.validate_token, provider.token(), config, address, provider)


def test_a_single_string_is_not_its_letters(api: Api, provider: Provider, clock: Any) -> None:
    """One name where several are expected is that name (C6) (C13)."""
    validator = api.validator(
        ISSUER, "client", kind="id_token", trusted_audiences="partner", required_claims="sid", http_client=provider
    )

    def judged(**changes: Any) -> str:
        token = provider.token(typ="JWT", **{"sid": "s", **changes})
        return verdict(lambda: api.call(validator.validate, token))

    assert judged(aud=["client", "partner"]) == "ok"
    assert judged(aud=["client", "p"]) == "audience_untrusted"
    assert judged(aud="client", sid=None) == "claim_missing"


@pytest.mark.parametrize("acr", ["gol", "", 5, ["gold"], None])
def test_an_authentication_context_is_compared_whole(api: Api, provider: Provider, clock: Any, acr: Any) -> None:
    """A single requested acr is matched by itself, not by a part of it (C12)."""
    validator = api.validator(ISSUER, "client", kind="id_token", http_client=provider)

    def judged(value: Any) -> str:
        token = provider.token(typ="JWT", aud="client", acr=value)
        return verdict(lambda: api.call(validator.validate, token, acr_values="gold"))

    assert judged("gold") == "ok"
    assert judged(acr) == "acr_mismatch"


# ---- key sets

PLACE = ISSUER + "/x"
JSON = (("content-type", "application/json"),)
SECOND = SigningKey.generate("ES256", kid="k1")
OTHER_KIND = SigningKey.generate("RS256", kid="k1")
SIGNERS = [SigningKey.generate("ES256", kid="k1") for _ in range(5)]


def jwk(key: SigningKey, **marks: Any) -> dict[str, Any]:
    """Return the public JWK of a key under the name k1."""
    return {**(key.public_jwk or {}), "kid": "k1", **marks}


class Publishing(Provider):
    """A provider whose key set is whatever a test says: members, the octets of a body, or a whole reply."""

    def __init__(self, published: Any) -> None:
        super().__init__(k1=KEY)
        self.published = published

    def __call__(self, request: Request) -> Reply:
        if not request.url.endswith("/jwks"):
            return super().__call__(request)
        self.requests.append(request.url)
        if isinstance(self.published, Reply):
            return self.published
        body = self.published
        return Reply(200, JSON, body if isinstance(body, bytes) else json.dumps({"keys": body}).encode(), request.url)


def everywhere(api: Api, validator: Any, token: str) -> str:
    """Judge a token three times alone and once in a batch."""
    said = [verdict(lambda: api.call(validator.validate, token)) for _ in range(3)]
    said.append(getattr(api.call(validator.validate_many, [token])[0], "code", "ok"))
    assert len(set(said)) == 1, said
    return said[0]


@pytest.mark.parametrize("order", [1, -1])
def test_of_keys_with_one_name_the_fitting_one_counts(api: Api, clock: Any, order: int) -> None:
    """Under one kid each algorithm finds its key, and of several that fit each is tried (K2)."""
    members = [
        jwk(OTHER_KIND),
        jwk(SIGNERS[0], use="enc"),
        jwk(SIGNERS[1], alg="ES384"),
        jwk(SIGNERS[2], key_ops=["encrypt"]),
        jwk(KEY),
        jwk(SECOND),
    ]
    provider = Publishing(members[::order])
    validator = api.validator(ISSUER, "api", http_client=provider)
    for key in (KEY, SECOND, OTHER_KIND, KEY, SECOND):
        assert everywhere(api, validator, provider.token(key=key)) == "ok"
    for key in SIGNERS[:3]:
        assert everywhere(api, validator, provider.token(key=key)) == "signature_invalid"


def test_no_more_than_four_keys_of_one_name_are_tried(api: Api, clock: Any) -> None:
    """The work on one token is bounded, however many keys share its kid (K2)."""
    provider = Publishing([jwk(key) for key in SIGNERS])
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert [everywhere(api, validator, provider.token(key=key)) for key in SIGNERS] == ["ok"] * 4 + [
        "signature_invalid"
    ]


def test_a_token_without_a_kid_finds_its_key(api: Api, clock: Any) -> None:
    """Without kid the keys that fit are tried, whatever their names (K3)."""
    provider = Publishing([jwk(OTHER_KIND, kid="r"), jwk(SECOND, kid="a"), jwk(KEY, kid="b")])
    validator = api.validator(ISSUER, "api", http_client=provider)
    nameless = signed(json.dumps(provider.claims()).encode(), {"alg": "ES256"})
    assert everywhere(api, validator, nameless) == "ok"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Reply(500), "jwks_failed"),
        (Reply(204), "jwks_failed"),
        (Reply(304), None),
        (Reply(302, (("location", "https://evil.example.com/jwks"),)), "jwks_redirected"),
        (Reply(200, (("content-type", "text/html"),), b"<html>log in</html>"), "jwks_content_type"),
        (Reply(200, JSON, b"<html>log in</html>"), "jwks_unparsable"),
        (b'{"keys": []}', "jwks_empty"),
        (b"{}", "jwks_unparsable"),
        (b"null", "jwks_unparsable"),
        (b'{"keys": {"k1": 1}}', "jwks_unparsable"),
        (b'{"keys": [{"kty": "EC"', "jwks_unparsable"),
        (b'{"keys": [{"kty": "EC"}], "keys": []}', "jwks_unparsable"),
        (b'\xef\xbb\xbf{"keys": []}', "jwks_unparsable"),
        (b'{"keys": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "jwks_unparsable"),
        (b'{"keys": [{"kty": "XYZ", "kid": "k1"}, 5]}', "jwks_unusable"),
        ([jwk(KEY)] * 101, "jwks_too_many_keys"),
        (b'{"keys": [], "x": "' + b"x" * 600_000 + b'"}', "jwks_too_large"),
    ],
)
def test_no_answer_of_a_provider_wipes_its_keys(api: Api, clock: Any, answer: Any, code: str | None) -> None:
    """Whatever comes instead of a key set, the keys at hand go on being used, and health says why (K6) (K9) (P1)."""
    provider = Publishing([jwk(KEY)])
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=16)
    token = provider.token(exp=NOW + 100_000)
    assert api.call(validator.validate, token)
    provider.published = answer
    clock.advance(3_601)
    for _ in range(3):
        assert everywhere(api, validator, token) == "ok"
    assert everywhere(api, validator, provider.token(key=SIGNERS[0], exp=NOW + 100_000)) == "signature_invalid"
    unknown = SigningKey.generate("ES256", kid="unknown")
    assert verdict(lambda: api.call(validator.validate, provider.token(key=unknown, exp=NOW + 100_000))) != "ok"
    (health,) = validator.health().issuers
    assert health.usable
    assert code is None or (health.last_error or "").startswith(code)


def test_one_bad_key_harms_no_other(api: Api, clock: Any) -> None:
    """Keys that cannot be used are passed over, and a token that wants one hears why (K8)."""
    provider = Publishing(
        [
            5,
            None,
            "key",
            [],
            {},
            {"kty": None},
            {"kty": ["EC"]},
            {"kty": "XYZ", "kid": "odd"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "small"},
            {"kty": "RSA", "n": "A" * 100_000, "e": "AQAB", "kid": "large"},
            {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": "short"},
            {"kty": "EC", "crv": "P-256", "x": 5, "y": {}, "kid": "typed"},
            {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "agreement"},
            {**jwk(SECOND), "kid": ["k1"]},
            {**jwk(SECOND), "kid": "k" * 300},
            {**jwk(SECOND), "key_ops": ["verify", "verify"]},
            jwk(KEY),
        ]
    )
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert everywhere(api, validator, provider.token()) == "ok"
    small = SigningKey.generate("RS256", kid="small")
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(validator.validate, provider.token(key=small))
    assert "rsa_key_too_small" in (caught.value.hint or "")


def test_a_published_secret_is_none(api: Api, clock: Any, events: list[Event]) -> None:
    """A symmetric key in a remote set verifies nothing, and private members are left out; both are told (K7) (A2)."""
    secret = b"k" * 32
    private = ec.generate_private_key(ec.SECP256R1())
    number = private.private_numbers().private_value.to_bytes(32, "big")
    signer = SigningKey.from_cryptography(private, "ES256", kid="private")
    provider = Publishing(
        [
            {"kty": "oct", "k": encoded(secret), "kid": "secret", "alg": "HS256"},
            {**(signer.public_jwk or {}), "kid": "private", "d": encoded(number)},
        ]
    )
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert everywhere(api, validator, provider.token(key=signer)) == "ok"
    forged = provider.token(key=SigningKey.from_secret(secret, "HS256", kid="secret"))
    assert everywhere(api, validator, forged) == "alg_not_allowed"
    shown = api.call(api.discovery.get_jwks, JwksRequest(address=ISSUER + "/jwks"), provider)
    assert encoded(number) not in repr([key.as_dict() for key in shown.keys]) + repr(shown)
    assert {"jwks_symmetric_key_ignored", "jwks_private_members_dropped"} <= {event.name for event in events}
    assert encoded(number) not in repr(events)


# ---- addresses

#: What metadata must not make the library fetch: other schemes, disguises, and this very machine.
NOWHERE = [
    "http://id.example.com/j",
    "file:///etc/passwd",
    "data:application/json,{}",
    "ftp://id.example.com/j",
    "//id.example.com/j",
    "https:/id.example.com/j",
    "https:id.example.com/j",
    "https:///j",
    "https://user@id.example.com/j",
    "http://localhost:80@evil.example.com/j",
    "https://id.example.com/j#fragment",
    "https://id.example.com\\@evil.example.com/j",
    "https://id.example.com\t/j",
    "https://id.example.com\r\nHost: evil.example.com/j",
    "https://id.example.com:99999/j",
    "https://id.example.com:0/j",
    "https://id.example.com:/j",
    "https://id.ex\u0430mple.com/j",
    "https://id\u3002example\u3002com/j",
    "https://\u2460\u2461\u2466.0.0.1/j",
    "https://%6cocalhost/j",
    "https://localhost/j",
    "https://LOCALHOST./j",
    "https://app.localhost/j",
    "https://ip6-localhost/j",
    "https://127.0.0.1/j",
    "https://127.1/j",
    "https://2130706433/j",
    "https://0x7f.1/j",
    "https://0177.0.0.1/j",
    "https://0/j",
    "https://0.0.0.0/j",
    "https://[::1]/j",
    "https://[0:0:0:0:0:0:0:1]/j",
    "https://[::]/j",
    "https://[::ffff:127.0.0.1]/j",
    "https://[::ffff:7f00:1]/j",
    "https://[::127.0.0.1]/j",
    "https://[64:ff9b::7f00:1]/j",
    "https://[64:ff9b::a9fe:a9fe]/j",
    "https://[2002:7f00:1::]/j",
    "https://[fe80::1]/j",
    "https://[fe80::1%25eth0]/j",
    "https://169.254.169.254/latest/meta-data",
]


@pytest.mark.parametrize("url", NOWHERE)
def test_metadata_leads_to_no_place_of_ours(api: Api, provider: Provider, clock: Any, url: str) -> None:
    """A jwks_uri that is plain, disguised or on this machine is refused before anything is sent there (K11)."""
    provider.metadata["jwks_uri"] = url
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert everywhere(api, validator, provider.token()).startswith("discovery_")
    assert all(url.startswith(ISSUER + "/.well-known/") for url in provider.requests)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example.com/jwks",
        "http://id.example.com/jwks",
        "//evil.example.com/jwks",
        "file:///etc/passwd",
        "https://id.example.com/other",
        "",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_key_set_is_where_it_is_said_to_be(api: Api, clock: Any, status: int, location: str) -> None:
    """No redirect of a jwks_uri is followed, whatever its status and wherever it leads (K12)."""
    provider = Publishing(Reply(status, (("location", location),)))
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert everywhere(api, validator, provider.token()) == "jwks_redirected"
    assert {url.rpartition("/")[2] for url in provider.requests} == {"openid-configuration", "jwks"}


#: Requests that carry a secret or a token: the function and what it is given.
SECRETIVE: dict[str, tuple[str, Any]] = {
    "token": (
        "request_client_credentials_token",
        package.ClientCredentialsTokenRequest(address=PLACE, client_id="app", client_secret="canary" * 6),
    ),
    "introspection": (
        "introspect_token",
        package.TokenIntrospectionRequest(address=PLACE, token="canary", client_id="app", client_secret="canary" * 6),
    ),
    "revocation": (
        "revoke_token",
        package.TokenRevocationRequest(address=PLACE, token="canary", client_id="app", client_secret="canary" * 6),
    ),
    "userinfo": ("get_userinfo", package.UserInfoRequest(address=PLACE, token="canary", expected_sub="ada")),
    "device": (
        "request_device_authorization",
        package.DeviceAuthorizationRequest(address=PLACE, client_id="app", client_secret="canary" * 6),
    ),
}


@pytest.mark.parametrize("location", ["https://evil.example.com/x", "http://id.example.com/x", PLACE + "/y"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", SECRETIVE)
def test_credentials_follow_no_redirect(api: Api, clock: Any, name: str, status: int, location: str) -> None:
    """A request that carries a secret or a token goes to one place only, whatever is answered there (K12) (T5)."""
    sent: list[str] = []

    def moved(request: Request) -> Reply:
        sent.append(request.url)
        return Reply(status, (("location", location), ("set-cookie", "a=b; Domain=example.com")), b"", request.url)

    function, request = SECRETIVE[name]
    result = api.call(getattr(blocking if api.name == "sync" else awaitable, function), request, moved)
    assert not result.is_successful
    assert sent == [PLACE]
    assert "canary" not in repr(result) + repr(vars(result.exception))


def test_algorithms_that_metadata_advertises_are_no_permission(api: Api, provider: Provider, clock: Any) -> None:
    """none and HS256 in metadata allow neither (K15) (A1)."""
    provider.metadata["id_token_signing_alg_values_supported"] = ["none", "HS256", "ES256"]
    validator = api.validator(ISSUER, "api", http_client=provider)
    public = json.dumps(KEY.public_jwk).encode()
    body = json.dumps(provider.claims()).encode()
    assert everywhere(api, validator, provider.token()) == "ok"
    assert everywhere(api, validator, _unsigned(body)) == "alg_not_allowed"
    assert everywhere(api, validator, _hmac(body, public)) == "alg_not_allowed"


def _unsigned(body: bytes) -> str:
    header = encoded(b'{"alg":"none","kid":"k1"}')
    return f"{header}.{encoded(body)}."


def _hmac(body: bytes, secret: bytes) -> str:
    header = encoded(b'{"alg":"HS256","kid":"k1"}')
    signing_input = f"{header}.{encoded(body)}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


# ---- the code itself

SOURCE = Path(package.__file__).parent
WORST = ["a" * 100_000, "=" * 100_000, "a=" * 50_000, '"' * 100_000, '"\\' * 50_000, " ," * 50_000, "a." * 50_000]
WORST += [
    "%41" * 33_000,
    "a-" * 50_000,
    "bearer " + " " * 100_000,
    "0x" + "0" * 100_000 + "!",
    "[" * 100_000,
    "\u20ac" * 100_000,
]


def patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return every regular expression that a module of the library keeps."""
    found = []
    for path in sorted(SOURCE.glob("_core/*/*.py")):
        module = importlib.import_module(f"py_identity_model._core.{path.parent.name}.{path.stem}")
        found += [
            (f"{path.stem}.{name}", value) for name, value in vars(module).items() if isinstance(value, re.Pattern)
        ]
    return found


def test_no_pattern_takes_long() -> None:
    """The longest hostile texts cost every regular expression no more than a look at each character (P12)."""
    assert len(patterns()) > 20
    for name, pattern in patterns():
        for text in WORST:
            for suffix in ("", "\n", "!"):
                begun = time.process_time()
                pattern.fullmatch(text + suffix)
                pattern.match(text + suffix)
                assert time.process_time() - begun < 0.5, name


#: What nobody may compare by ``==``: its time tells how much of a guess was right.
SECRET_NAMES = {
    "state",
    "nonce",
    "secret",
    "client_secret",
    "password",
    "verifier",
    "code_verifier",
    "signature",
    "mac",
}
SECRET_NAMES |= {"digest", "token", "access_token", "refresh_token", "binding", "ath", "at_hash", "c_hash", "s_hash"}


def _named(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def test_secrets_are_compared_in_constant_time() -> None:
    """Nowhere are two values of a secret kind compared by ``==`` or ``!=`` (T7) (C8)."""
    found = []
    for path in sorted(SOURCE.glob("_core/*/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops)):
                continue
            sides = [node.left, *node.comparators]
            if _named(node.left) in SECRET_NAMES and not any(isinstance(side, ast.Constant) for side in sides):
                found.append(f"{path.name}:{node.lineno}")
            if any(_named(side) in SECRET_NAMES for side in node.comparators) and not isinstance(
                node.left, ast.Constant
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/admin",
        "http://localhost:9200/_cluster",
        "https://169.254.169.254/latest",
        "https://[64:ff9b::a9fe:a9fe]/latest",
        "https://[::1]/x",
    ],
)
def test_a_resource_elsewhere_has_nothing_fetched_here(api: Api, clock: Any, url: str) -> None:
    """A challenge that leads to this machine or its link is not followed, unless the resource is here too (K11)."""
    sent: list[str] = []

    def answer(request: Request) -> Reply:
        sent.append(request.url)
        return Reply(404, (), b"", request.url)

    fetch = (blocking if api.name == "sync" else awaitable).get_protected_resource_metadata
    led = package.ProtectedResourceMetadataRequest(url, resource="https://api.example.com/orders")
    result = api.call(fetch, led, answer)
    assert (result.error_code, sent) == ("resource_metadata_local", [])
    local = package.ProtectedResourceMetadataRequest(url, resource="http://localhost:8080")
    here = "169.254" not in url and "a9fe" not in url  # the link of this machine is another place
    assert (api.call(fetch, local, answer).error_code != "address_not_public") == here
    assert bool(sent) == here


def test_no_refusal_repeats_the_token(
    api: Api, provider: Provider, clock: Any, caplog: pytest.LogCaptureFixture, events: list[Event]
) -> None:
    """No segment of a token, and no claim that was not compared, is in an error, its chain, a log or an event (T6)."""
    caplog.set_level("DEBUG")
    forger = SigningKey.generate("ES256", kid="k1")
    stranger = SigningKey.generate("ES256", kid="k9")
    private = {"email": "canary@example.com"}
    good = provider.token(**private)
    header, payload, signature = good.split(".")
    tokens = [
        provider.token(key=forger, **private),
        provider.token(key=stranger, **private),
        provider.token(exp=NOW - 1, **private),
        provider.token(aud="other", **private),
        provider.token(iss=ISSUER + "/", **private),
        provider.token(typ="logout+jwt", **private),
        provider.token(nonce="n", **private),
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}",
        f"{header}.{payload[:-1]}.{signature}",
        f"{good}.{signature}.{signature}",
        good + "\ud800",
        "Bearer " + good,
    ]
    validator = api.validator(ISSUER, "api", http_client=provider, cache_tokens=8)
    for _ in range(2):
        for token, outcome in zip(tokens, api.call(validator.validate_many, tokens), strict=True):
            with pytest.raises(PyIdentityModelException) as caught:
                api.call(validator.validate, token)
            for error in (caught.value, outcome):
                shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
                shown += repr(pickle.dumps(error))
                parts = [part for part in token.removeprefix("Bearer ").split(".") if len(part) > 40]
                assert not [part for part in [*parts, "canary"] if part in shown], error.code
    told = caplog.text + repr(events)
    assert "canary" not in told
    assert payload not in told


def test_a_required_claim_that_is_null_is_missing(api: Api, provider: Provider, clock: Any) -> None:
    """null says as little as absence, for claims that the caller requires and for those of RFC 9068 (C1) (C13)."""

    def token(**changes: Any) -> str:
        return signed(json.dumps({**provider.claims(client_id="app", jti="1"), **changes}).encode(), HEADER)

    requiring = api.validator(ISSUER, "api", required_claims=["tenant"], http_client=provider)
    strict = api.validator(ISSUER, "api", kind="rfc9068_access_token", http_client=provider)
    for _ in range(2):
        assert everywhere(api, requiring, token(tenant=None)) == "claim_missing"
        assert everywhere(api, requiring, token(tenant="t")) == "ok"
        assert everywhere(api, strict, token(client_id=None)) == "claim_missing"
        assert everywhere(api, strict, token(jti=None)) == "claim_type_invalid"
        assert everywhere(api, strict, token()) == "ok"


HEADER = {"alg": "ES256", "kid": "k1", "typ": "at+jwt"}
