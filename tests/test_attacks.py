"""Attacks where two features meet: every token goes down the cold, the warm, the remembered and the batch path.

Each test names the class of attack in parentheses: A signatures, P parsing, C claims, K keys, E encryption, O protocol,
T transport.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model.core import validation as validation_room
from py_identity_model.core.batch import WINDOW
from py_identity_model.core.issuers import IssuerTemplate, TrustedIssuer
from py_identity_model.core.signing import SigningKey
from py_identity_model.core.validation_config import TokenValidationConfig
from py_identity_model.exceptions import (
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
)

KEY = SigningKey.generate("ES256", kid="k1")
TENANTS = "https://{tenant}.tenants.example.com"


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


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
@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1" + "0" * 400, "9" * 4200, "1e300", "-1e300"])
def test_a_number_that_no_float_holds_is_no_date(
    judge: Any, provider: Provider, name: str, value: str, warmed: bool
) -> None:
    """A date of hundreds of digits is refused like any other malformed one, signed or not (P9) (C1)."""
    claims = json.dumps({**provider.claims(), name: 0}).replace(f'"{name}": 0', f'"{name}": {value}').encode()
    assert judge(signed(claims), warmed=warmed) == "claim_type_invalid"
    forged = signed(claims, {"alg": "ES256", "kid": "unknown"})
    assert judge(forged, warmed=warmed) == "claim_type_invalid"


@pytest.mark.parametrize("value", ["9" * 4301, "1e400", "NaN", "-Infinity"])
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
    monkeypatch.setattr(validation_room, "MAX_ISSUERS", 8)
    validator = brought(api, provider)
    assert api.call(validator.validate, tenant(provider, "honest"))
    forger = SigningKey.generate("ES256", kid="k1")
    for number in range(20):
        assert verdict(lambda: api.call(validator.validate, tenant(provider, f"t{number}", key=forger))) != "ok"  # noqa: B023
    assert len(validator._validator.realms) == 2
    for number in range(20):
        assert api.call(validator.validate, tenant(provider, f"t{number}"))
    assert len(validator._validator.realms) == 9
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
