"""Issuers that are trusted by name or by a template: what may be said of each, and where its keys are fetched."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from apis import Api
from py_identity_model import DiscoveryPolicy, IssuerKeySet, IssuerTemplate, SigningKey, TrustedIssuer
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.validation import validator as validator_module
from py_identity_model._core.validation.validator import ISSUER_TRUSTED_FOR
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException

TENANTS = "https://tenants.example.com"

ISSUER, KEYS = "https://id.example.com", "https://keys.example.com/jwks"
ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"
JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
OCT = {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}


def refusal(make: Any, *args: Any, **given: Any) -> ConfigurationException:
    """Return what is raised for such an issuer."""
    with pytest.raises(ConfigurationException) as caught:
        make(*args, **given)
    return caught.value


# ---- by name


@pytest.mark.parametrize(
    ("given", "claim"),
    [
        ({"keys": JWK, "jwks_uri": KEYS}, "jwks_uri"),
        ({"keys": JWK, "discovery_address": ISSUER}, "discovery_address"),
        ({"jwks_uri": KEYS, "discovery_address": ISSUER}, "discovery_address"),
        ({"keys": JWK, "metadata_issuer": ISSUER}, "metadata_issuer"),
        ({"jwks_uri": KEYS, "metadata_issuer": ISSUER}, "metadata_issuer"),
        ({"metadata_issuer": ""}, "metadata_issuer"),
        ({"jwks_uri": "no address"}, "jwks_uri"),
    ],
)
def test_an_issuer_has_one_source_of_keys(given: dict[str, Any], claim: str) -> None:
    """Keys, an address of keys, or metadata; the refusal names what is too much."""
    assert refusal(TrustedIssuer, ISSUER, **given).claim == claim


@pytest.mark.parametrize(
    "given",
    [
        {"keys": JWK},
        {"jwks_uri": KEYS},
        {"jwks_uri": "http://keycloak:8080/jwks"},
        {"discovery_address": ISSUER, "metadata_issuer": f"{ISSUER}/other"},
        {"metadata_issuer": f"{ISSUER}/other"},
    ],
)
def test_what_an_issuer_may_have(given: dict[str, Any]) -> None:
    """One source, http too, which the policy judges at the fetch; it is copied and pickled as what it is."""
    trusted = TrustedIssuer(ISSUER, **given)
    assert {name: getattr(trusted, name) for name in given} == given
    assert copy.copy(trusted) is copy.deepcopy(trusted) is trusted
    assert pickle.loads(pickle.dumps(trusted)) == trusted


def test_an_issuer_with_a_secret_is_not_pickled() -> None:
    """A shared secret, in whatever form, does not leave the process by pickle."""
    for keys in (OCT, {"keys": [OCT]}):
        with pytest.raises(ConfigurationException) as caught:
            pickle.dumps(TrustedIssuer(ISSUER, keys=keys))
        assert caught.value.code == "secret_not_picklable"


def test_what_the_caller_changes_later_changes_nothing() -> None:
    """Lists, the policy and keys are taken as they are when the issuer is made."""
    audience, algorithms, keys, policy = ["api"], ["RS256"], {"keys": [dict(JWK)]}, DiscoveryPolicy()
    trusted = TrustedIssuer(ISSUER, audience=audience, algorithms=algorithms, keys=keys, discovery_policy=policy)
    template = IssuerTemplate(ENTRA, allowed={"a"}, audience=audience, algorithms=algorithms, discovery_policy=policy)
    audience.append("other")
    algorithms.append("none")
    keys["keys"].clear()
    policy.require_https = False
    for made in (trusted, template):
        assert (made.audience, made.algorithms) == (("api",), ("RS256",))
        assert made.discovery_policy is not None
        assert made.discovery_policy.require_https
    assert trusted.keys == {"keys": [JWK]}


# ---- by a template


@pytest.mark.parametrize(
    "template",
    [
        "https://a.example",
        "https://a.example/{",
        "https://a.example/{tenant",
        "https://a.example/{}",
        "https://a.example/{a b}",
        "https://a.example/{a}/{b}",
        "https://a.example/{a}/{",
        "https://a.example/{a}/}",
        "https://a.example/}{a}",
        "https://a.example/{{a}}",
    ],
)
def test_a_template_has_one_placeholder(template: str) -> None:
    """Exactly one {name}, and no brace beside it."""
    error = refusal(IssuerTemplate, template, allowed={"a"})
    assert (error.code, error.claim, error.actual) == ("policy_invalid", "template", template)


@pytest.mark.parametrize(
    ("given", "fine"),
    [
        ({}, False),
        ({"allowed": {"a"}}, True),
        ({"allowed": lambda value: True}, True),
        ({"trust_every_value_of_the_template": True}, True),
        ({"allowed": {"a"}, "trust_every_value_of_the_template": True}, False),
        ({"allowed": "a"}, False),
        ({"allowed": b"a"}, False),
    ],
)
def test_a_template_says_which_values_are_trusted(given: dict[str, Any], fine: bool) -> None:
    """Some, or all by name; a text would trust each of its parts."""
    if fine:
        assert IssuerTemplate(ENTRA, **given).trust(ENTRA.replace("{tenantid}", "a")) is not None
    else:
        assert refusal(IssuerTemplate, ENTRA, **given).claim == "allowed"


@pytest.mark.parametrize("allowed", [{"a"}, ["a"], lambda value: value == "a"])
def test_values_that_are_not_trusted(allowed: Any) -> None:
    """Only the values allowed, and only in an issuer that fits the template."""
    template = IssuerTemplate(ENTRA, allowed=allowed)
    assert template.trust(ENTRA.replace("{tenantid}", "a")) is not None
    for issuer in (ENTRA.replace("{tenantid}", "b"), "https://other.example/a/v2.0", ENTRA, ""):
        assert template.trust(issuer) is None


def test_the_value_is_filled_in() -> None:
    """An address with the {name} is that of the one issuer; one without is shared, and names the template."""
    own = IssuerTemplate(ENTRA, allowed={"a"}, discovery_address="https://login.example/{tenantid}/{other}/metadata")
    one = own.trust(ENTRA.replace("{tenantid}", "a"))
    assert one is not None
    assert (one.discovery_address, one.metadata_issuer) == ("https://login.example/a/{other}/metadata", None)
    shared = IssuerTemplate(ENTRA, allowed={"a"}, discovery_address="https://login.example/metadata")
    one = shared.trust(ENTRA.replace("{tenantid}", "a"))
    assert one is not None
    assert (one.discovery_address, one.metadata_issuer) == ("https://login.example/metadata", ENTRA)
    plain = IssuerTemplate(ENTRA, allowed={"a"}, audience="api", algorithms=("RS256",), backchannel="http://in:1")
    one = plain.trust(ENTRA.replace("{tenantid}", "a"))
    assert one == TrustedIssuer(
        ENTRA.replace("{tenantid}", "a"), audience="api", algorithms=("RS256",), backchannel="http://in:1"
    )


@pytest.mark.parametrize(
    ("template", "given", "public"),
    [
        ("https://{tenant}.example.com/v2", {}, True),
        ("https://{tenant}.example.com/v2", {"allow_private_addresses": True}, False),
        ("https://{tenant}.example.com", {}, True),
        ("https://example.com/{tenant}", {}, False),
        ("https://example.com/{tenant}", {"allow_private_addresses": True}, False),
        ("https://{tenant}.example.com/v2", {"jwks_uri": KEYS}, False),
        ("https://{tenant}.example.com/v2", {"discovery_address": "https://example.com/m"}, False),
        ("https://example.com/{tenant}", {"discovery_address": "https://{tenant}.example.com/m"}, True),
        ("https://example.com/{tenant}", {"discovery_address": "https://example.com/{tenant}/m"}, False),
    ],
)
def test_where_tokens_choose_the_host(template: str, given: dict[str, Any], public: bool) -> None:
    """If the value is a part of the host that is asked, only public addresses are, unless the application says so."""
    trusted = IssuerTemplate(template, trust_every_value_of_the_template=True, **given).trust(
        template.replace("{tenant}", "a")
    )
    assert trusted is not None
    assert trusted.public_addresses_only is public


@pytest.mark.parametrize(
    "given",
    [
        {"audience": "api"},
        {"algorithms": ("RS256",)},
        {"jwks_uri": KEYS},
        {"discovery_address": ISSUER},
        {"discovery_policy": DiscoveryPolicy()},
        {"backchannel": "http://in:1"},
        {"allow_private_addresses": True},
    ],
)
def test_a_template_of_one_provider(given: dict[str, Any]) -> None:
    """Where the issuers share one provider the template says which they are, and nothing of keys and audiences."""
    IssuerTemplate(ENTRA, allowed={"a"}, claim="tid", max_unverified=3).check_alone()
    IssuerTemplate(ENTRA, trust_every_value_of_the_template=True).check_alone()
    assert refusal(IssuerTemplate(ENTRA, allowed={"a"}, **given).check_alone).claim == next(iter(given))


# ---- several key sets


def test_each_key_set_of_an_issuer_alone() -> None:
    """Each has its own place; metadata is read under its own policy, or under the issuer's where it has none."""
    alone = TrustedIssuer(ISSUER, jwks_uri=KEYS)
    assert alone.each() == [alone]
    ours, own = (DiscoveryPolicy(require_https=https) for https in (True, False))
    sets = [IssuerKeySet(jwks_uri=KEYS), IssuerKeySet(discovery_policy=own)]
    first, second = TrustedIssuer(ISSUER, audience="api", discovery_policy=ours, key_sets=sets).each()
    assert first == TrustedIssuer(ISSUER, audience="api", jwks_uri=KEYS, discovery_policy=ours)
    assert second == TrustedIssuer(ISSUER, audience="api", discovery_policy=own)


# ---- both


@pytest.mark.parametrize(
    "made", [TrustedIssuer(ISSUER, keys={**JWK, "kid": "canary"}), IssuerTemplate(ENTRA, allowed={"a"})]
)
def test_issuers_are_values(made: Any) -> None:
    """They do not change, take everything but their name by name, and show no keys."""
    with pytest.raises(FrozenInstanceError):
        made.audience = "other"
    assert not hasattr(made, "__dict__")
    with pytest.raises(TypeError):
        type(made)(ISSUER, "api")
    assert "canary" not in repr(made)


# ---- issuers that are brought


class Tenants:
    """An application that is asked about issuers, and changes its mind."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys
        self.asked: list[str] = []

    def __call__(self, issuer: str) -> TrustedIssuer | None:
        """Say whose keys an issuer has now."""
        name = issuer.rpartition("/")[2]
        self.asked.append(name)
        key = self.keys.get(name)
        return None if key is None else TrustedIssuer(issuer, keys=key.public_jwk)


def of_tenant(name: str, key: SigningKey, clock: Any) -> str:
    """Return a token of a tenant."""
    times = {"iat": clock.wall, "exp": clock.wall + 3600}
    return sign_compact({"iss": f"{TENANTS}/{name}", "aud": "api", "sub": "ada", **times}, key)


def code_of(api: Api, validator: Any, token: str) -> str:
    """Return why a token is refused, "" if it is not."""
    try:
        api.call(validator.validate, token)
    except PyIdentityModelException as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", ["sync", "asyncio", "trio"])
def test_what_the_application_says_the_second_time_counts(name: str, clock: Any) -> None:
    """An issuer is asked about again after five minutes, to the second, and only the keys of the answer count then."""
    api, old, new = Api(name), SigningKey.generate("ES256"), SigningKey.generate("ES256")
    tenants = Tenants(a=old)
    validator = api.validator(audience="api", issuer_resolver=tenants)
    for _ in range(3):
        assert code_of(api, validator, of_tenant("a", old, clock)) == ""
    clock.advance(ISSUER_TRUSTED_FOR - 1)
    assert code_of(api, validator, of_tenant("a", old, clock)) == ""
    assert tenants.asked == ["a"]
    tenants.keys["a"] = new
    clock.advance(1)
    assert code_of(api, validator, of_tenant("a", old, clock)) == "signature_invalid"
    assert tenants.asked == ["a", "a"]
    for _ in range(3):
        assert code_of(api, validator, of_tenant("a", new, clock)) == ""
    assert code_of(api, validator, of_tenant("a", old, clock)) == "signature_invalid"
    clock.advance(ISSUER_TRUSTED_FOR)
    assert code_of(api, validator, of_tenant("a", new, clock)) == ""
    assert tenants.asked == ["a"] * 3
    tenants.keys.clear()
    clock.advance(ISSUER_TRUSTED_FOR)
    assert code_of(api, validator, of_tenant("a", new, clock)) == "issuer_mismatch"


def test_issuers_that_are_brought_are_bounded(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are kept, and no more: the oldest makes room, and is asked about again when it comes back."""
    monkeypatch.setattr(validator_module, "MAX_ISSUERS", 3)
    api, key = Api("sync"), SigningKey.generate("ES256")
    tenants = Tenants(a=key, b=key, c=key, d=key)
    validator = api.validator(audience="api", issuer_resolver=tenants)
    for name in "abcabcd":
        assert code_of(api, validator, of_tenant(name, key, clock)) == ""
    assert "".join(tenants.asked) == "abcd"
    assert len(validator._validator.by_issuer) == 3
    for name in "bcda":
        assert code_of(api, validator, of_tenant(name, key, clock)) == ""
    assert "".join(tenants.asked) == "abcda"
