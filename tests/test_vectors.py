"""Public vectors: RFC examples, the JOSE cookbook, Wycheproof, ML-DSA, fuzzing seeds. No wrong verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from py_identity_model._core.base.base64url import b64url_decode
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.strict_json import StrictJSONError, loads, loads_claims, loads_object
from py_identity_model._core.client.device import DeviceAuthorizationRequest, request_device_authorization
from py_identity_model._core.client.introspection import TokenIntrospectionRequest
from py_identity_model._core.client.token_exchange import ExchangeTokenType, TokenExchangeRequest, exchange_token
from py_identity_model._core.discovery.fetch import fetch_metadata
from py_identity_model._core.discovery.metadata import DiscoveryPolicy
from py_identity_model._core.jose.algorithms import ALGORITHMS, KeyRefused
from py_identity_model._core.jose.jws import half_hash, jwk_thumbprint, parse_compact, sign_compact
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import PreparedKey, import_key, prepare
from py_identity_model._core.login.par import (
    PushedAuthorizationRequest,
    build_par_authorization_url,
    push_authorization_request,
)
from py_identity_model._core.login.pkce import generate_code_challenge
from py_identity_model.exceptions import ConfigurationException, DiscoveryException, TokenValidationException
from py_identity_model.settings import Settings
from py_identity_model.sync import _introspection as introspection
from py_identity_model.sync._driver import run
from rfc_examples import (
    RFC_7515,
    RFC_7517,
    RFC_7519,
    RFC_7636,
    RFC_7638,
    RFC_7662,
    RFC_7797,
    RFC_7800,
    RFC_8414,
    RFC_8628,
    RFC_8693,
    RFC_9126,
    RFC_9449,
)

#: RFC 8037 Appendix A: a key, what it signs, and its thumbprint.
RFC_8037_A = {
    "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "jws": "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    "thumbprint": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
}
RFC_7515_A1, RFC_7515_A3 = RFC_7515["A.1"], RFC_7515["A.3"]

#: Good signatures over nothing. A JWT has claims, so its middle segment is never empty (RFC 7519 7.2, step 10).
WYCHEPROOF_EMPTY = (259, 264, 268, 272, 320, 325)
#: Verdicts that differ from the file's own, and why.
WYCHEPROOF_JWS = {
    **dict.fromkeys(WYCHEPROOF_EMPTY, ("invalid", "a JWS, but no JWT: its payload is no object of claims")),
    367: ("valid", "the padding was lost in the export: the token is that of 357"),
    370: ("valid", "the padding was lost in the export: the token is that of 357"),
    372: ("invalid", "there is a `?` in the header segment, which is no base64url (RFC 7515 2)"),
    373: ("invalid", "there is a `?` in the payload segment, which is no base64url (RFC 7515 2)"),
    346: ("invalid", "the JWK is for PS256, the token says PS384 (RFC 8725 3.1)"),
    350: ("invalid", "the JWK is for PS256, the token says PS384 (RFC 8725 3.1)"),
    347: ("invalid", "the JWK is for ES521, which is no registered algorithm"),
    351: ("invalid", "the JWK is for ES521, which is no registered algorithm"),
}


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def verified(token: str, jwk: Mapping[str, Any]) -> bytes | None:
    """Return the payload if the token is good under the key; nothing but our own exceptions may come out."""
    try:
        jws = parse_compact(token)
        key = prepare(import_key(jwk), jws.header["alg"])
    except (TokenValidationException, KeyRefused):
        return None
    return jws.payload if key.verify(jws.signing_input, jws.signature) else None


# ---- RFCs


@pytest.mark.parametrize("vector", [RFC_7515_A1, RFC_7515_A3, RFC_8037_A])
def test_examples_of_the_rfcs(vector: dict[str, Any]) -> None:
    """The examples are good, and no longer once a bit of their signature is changed."""
    token = vector["jws"]
    assert verified(token, vector["jwk"]) is not None
    changed = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
    assert verified(changed, vector["jwk"]) is None


def test_rfc_8037() -> None:
    """Signing gives the token of RFC 8037 A.4, and the key the thumbprint of A.3."""
    key = SigningKey.from_jwk({**RFC_8037_A["jwk"], "d": RFC_8037_A["d"]}, "EdDSA")  # type: ignore[dict-item]
    assert sign_compact(b"Example of Ed25519 signing", key) == RFC_8037_A["jws"]
    assert jwk_thumbprint(RFC_8037_A["jwk"]) == RFC_8037_A["thumbprint"]  # type: ignore[arg-type]


def test_half_hash_of_openid_connect() -> None:
    """The hashes of OpenID Connect Core A.3, A.4 and A.6 come out."""
    assert half_hash("RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y") == "77QmUPtjPfzWtF2AnpK9RQ"
    assert half_hash("RS256", "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk") == "LDktKdoQak3Pk0cnXxCltA"


def test_rfc_7515() -> None:
    """Appendix A: four signed tokens are good; the unsecured one, both JSON forms and the critical one are refused."""
    outcomes = {}
    for name, vector in RFC_7515.items():
        jws, jwk = vector["jws"], vector.get("jwk", RFC_7515_A3["jwk"])
        outcomes[name] = verified(jws if isinstance(jws, str) else json.dumps(jws), jwk) is not None
    assert {name for name, accepted in outcomes.items() if accepted} == {f"A.{n}" for n in (1, 2, 3, 4)}
    assert len(outcomes) == 8


def test_rfc_7517() -> None:
    """The keys of the appendices are read, symmetric ones for encryption aside from verifying."""
    for jwk in RFC_7517:
        assert import_key(jwk).kty == jwk["kty"]


def test_rfc_7519() -> None:
    """The signed example is good; the unsecured and the encrypted ones are refused."""
    for section, vector in RFC_7519.items():
        accepted = verified(vector["token"], vector.get("jwk", RFC_7515_A1["jwk"])) is not None
        assert accepted == (section == "3.1")


def test_rfc_7638() -> None:
    """The thumbprint of the example comes out."""
    assert jwk_thumbprint(RFC_7638["jwk"]) == RFC_7638["thumbprint_sha256"]


def test_rfc_7797() -> None:
    """A payload that is not encoded is refused, the ordinary form of the same is good (RFC 7797 7)."""
    assert verified(RFC_7797["b64_true"]["compact"], RFC_7797["jwk"]) == RFC_7797["payload"].encode()
    assert verified(RFC_7797["b64_false"]["detached_compact"], RFC_7797["jwk"]) is None


def test_rfc_9449() -> None:
    """The DPoP proofs are good under the key in their header, whose thumbprint is the expected one."""
    for vector in RFC_9449["proofs"]:
        jws = parse_compact(vector["proof"])
        assert jws.header == vector["header"]
        assert loads_claims(jws.payload) == vector["claims"]
        assert verified(vector["proof"], jws.header["jwk"]) is not None
        assert jwk_thumbprint(jws.header["jwk"]) == RFC_9449["jkt"]


def answered(flow: Any, document: Any) -> Any:
    """Run a flow whose request is answered with the document, at the time of the RFC's example."""
    body = json.dumps(document).encode()
    return run(flow, lambda request: Reply(200, (("content-type", "application/json"),), body, request.url))


def test_rfc_7636() -> None:
    """The challenge of Appendix B belongs to its verifier."""
    challenge = generate_code_challenge(RFC_7636["code_verifier"], RFC_7636["code_challenge_method"])
    assert challenge == RFC_7636["code_challenge"]


def test_rfc_7662(clock: Any) -> None:
    """The answers of 2.2 say what they say: the first token is active, if it is still its time, the second is not."""
    active, inactive = RFC_7662
    clock.wall = active["iat"] + 60.0
    request = TokenIntrospectionRequest(
        "https://server.example.com/introspect",
        "2YotnFZFEjr1zCsicMWpAA",
        "l238j323ds-23ij4",
        expected_audience="https://protected.example.net/resource",
        expected_issuer="https://server.example.com/",
    )

    def outcome(answer: dict[str, Any]) -> Any:
        body = json.dumps(answer).encode()
        json_type = (("content-type", "application/json"),)
        return introspection.introspect_token(request, lambda asked: Reply(200, json_type, body))

    found = outcome(active)
    assert found.active is True, found.error
    assert found.claims == active
    assert outcome(inactive).active is False
    clock.wall = active["exp"] + 60.0
    assert not outcome(active).is_successful


def test_rfc_7800() -> None:
    """The key that the claims of 3.2 confirm is read, and has a thumbprint."""
    jwk = RFC_7800["cnf"]["jwk"]
    assert import_key(jwk).crv == "P-256"
    assert len(jwk_thumbprint(jwk)) == 43


def test_rfc_8414(clock: Any) -> None:
    """The metadata of 3.2 is what this issuer may publish, and nobody else."""
    document = RFC_8414
    policy = DiscoveryPolicy()
    found = answered(fetch_metadata(document["issuer"], policy, Settings()), document)
    assert found.value.token_endpoint == document["token_endpoint"]
    assert found.value.raw == document
    with pytest.raises(DiscoveryException):
        answered(fetch_metadata("https://other.example.com", policy, Settings()), document)


def test_rfc_8628(clock: Any) -> None:
    """The answer of 3.2 is read."""
    document = RFC_8628
    request = DeviceAuthorizationRequest("https://server.example.com/device_authorization", "1406020730")
    found = answered(request_device_authorization(request), document)
    assert {name: getattr(found, name) for name in document} == document
    assert found.expires_at == clock.wall + 1800


def test_rfc_8693(clock: Any) -> None:
    """The answers of 2.3 and Appendix A are read, with what was issued."""
    for document in RFC_8693:
        request = TokenExchangeRequest(
            "https://as.example.com/as/token.oauth2",
            "rs08",
            client_secret="long-secure-random-secret",
            resource="https://backend.example.com/api",
            subject_token="accVkjcJyb4BWCxGsndESCJQbdFMogUC5PbRDqceLTC",
            subject_token_type=ExchangeTokenType.ACCESS_TOKEN,
        )
        found = answered(exchange_token(request), document)
        assert found.is_successful, found.error
        assert (found.access_token, found.issued_token_type) == (
            document["access_token"],
            document["issued_token_type"],
        )
        assert parse_compact(found.access_token).header["alg"] == "ES256"


def test_rfc_9126(clock: Any) -> None:
    """The answer of 2.2 is read, and its name goes to the authorization endpoint."""
    document = RFC_9126
    request = PushedAuthorizationRequest(
        "https://as.example.com/as/par",
        "CLIENT1234",
        "https://client.example.org/cb",
        code_challenge="K2-ltc83acc4h0c9w6ESC_rEMTJ3bww-uCHaoeK1t8U",
        code_challenge_method="S256",
    )
    found = answered(push_authorization_request(request), document)
    assert (found.request_uri, found.expires_in) == (document["request_uri"], 60)
    url = build_par_authorization_url("https://as.example.com/authorize", "CLIENT1234", found.request_uri)
    query = dict(parse_qsl(urlsplit(url).query))
    assert query == {"client_id": "CLIENT1234", "request_uri": document["request_uri"]}


# ---- the cookbook (RFC 7520)


def test_cookbook_jws(vectors: Path) -> None:
    """Compact results are good, and what is deterministic is signed alike; a payload apart or bare is refused."""
    seen = signed = 0
    files = [*(vectors / "cookbook/jws").glob("*.json"), vectors / "cookbook/curve25519/jws.json"]
    for path in files:
        vector = load(path)
        token, key = vector["output"].get("compact"), vector["input"]["key"]
        if token is None:
            continue
        seen += 1
        detached = ".." in token
        assert (verified(token, key) is None) == detached, path.name
        if vector.get("reproducible") and not detached:
            protected = vector["signing"]["protected"]
            signer = SigningKey.from_jwk({**key, "kid": protected.get("kid")}, vector["input"]["alg"])
            assert list(protected) == (["alg", "kid"] if "kid" in protected else ["alg"])
            assert sign_compact(vector["input"]["payload"].encode(), signer) == token, path.name
            signed += 1
    assert (seen, signed) == (6, 3)
    for path in (vectors / "cookbook/rfc7797").glob("*.json"):
        for token in [v for v in load(path)["output"].values() if isinstance(v, str)]:
            assert verified(token, load(path)["input"]["key"]) is None


def test_cookbook_jwk(vectors: Path) -> None:
    """Public keys are read; of private ones only the public half; keys for encryption serve no signature."""
    kinds = {}
    for path in sorted((vectors / "cookbook/jwk").glob("*.json")):
        jwk = load(path)
        key = import_key(jwk)
        kinds[path.name[:3]] = key.kty
        assert "d" not in jwk or SigningKey.from_jwk(jwk, "RS256" if key.kty == "RSA" else "ES512")
    assert kinds == {"3_1": "EC", "3_2": "EC", "3_3": "RSA", "3_4": "RSA", "3_5": "oct", "3_6": "oct"}


# ---- Wycheproof


def cases_of(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in load(path)["testGroups"]:
        for test in group["tests"]:
            yield group, test


def test_wycheproof_jws(vectors: Path) -> None:
    """Every one of the 401 tokens gets the right verdict."""
    wrong, count = [], 0
    for group, test in cases_of(vectors / "wycheproof/json_web_signature_test.json"):
        jws = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
        expected = WYCHEPROOF_JWS.get(test["tcId"], (test["result"], ""))[0]
        accepted = verified(jws, group.get("public") or group["private"]) is not None
        count += 1
        if accepted != (expected == "valid"):
            wrong.append((test["tcId"], test["comment"], expected))
    assert wrong == []
    assert count == 401


def test_wycheproof_jws_without_a_payload(vectors: Path) -> None:
    """An empty payload is refused for its shape alone: its signature gets the file's verdict, which is good."""
    shapes = set()
    for group, test in cases_of(vectors / "wycheproof/json_web_signature_test.json"):
        if test["tcId"] in WYCHEPROOF_EMPTY:
            header, _, signature = test["jws"].split(".")
            alg = loads_object(b64url_decode(header))["alg"]
            assert prepare(import_key(group["public"]), alg).verify(f"{header}.".encode(), b64url_decode(signature))
            with pytest.raises(TokenValidationException) as refusal:
                parse_compact(test["jws"])
            shapes.add((alg, refusal.value.code))
    assert shapes == {(f"{family}{size}", "token_malformed") for family in ("RS", "PS") for size in (256, 384, 512)}


def test_wycheproof_jws_with_the_private_key(vectors: Path) -> None:
    """A private JWK gives the same verdicts as its public half."""
    wrong = []
    for group, test in cases_of(vectors / "wycheproof/json_web_signature_test.json"):
        # The private half of 349 lists the operation "sign, verify", one string, which names none (RFC 7517 4.3).
        if "public" in group and isinstance(test["jws"], str) and test["tcId"] != 349:
            verdicts = {verified(test["jws"], group[half]) is None for half in ("public", "private")}
            wrong += [test["tcId"]] if len(verdicts) > 1 else []
    assert wrong == []


def test_wycheproof_jws_with_the_padding_back() -> None:
    """What 367 and 370 were meant to say: a token with `=` in it is refused."""
    token = RFC_7515_A1["jws"]
    assert isinstance(token, str)
    header, payload, signature = token.split(".")
    for padded in (
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}.{signature}=",
        f"{header}==.{payload}.{signature}",
    ):
        assert verified(padded, RFC_7515_A1["jwk"]) is None  # type: ignore[arg-type]


def test_wycheproof_jwk(vectors: Path) -> None:
    """Every one of the 26 keys and sets gets the right verdict, as keys that a caller gives."""
    wrong, count = [], 0
    for group, test in cases_of(vectors / "wycheproof/json_web_key_test.json"):
        count += 1
        if accepted_by_set(group.get("public") or group["private"], test["jws"]) != (test["result"] == "valid"):
            wrong.append((test["tcId"], group["comment"], test["comment"]))
    assert wrong == []
    assert count == 26


def accepted_by_set(keys: Mapping[str, Any], token: str) -> bool:
    try:
        jws = parse_compact(token)
        candidates: Sequence[PreparedKey] = KeySet.from_keys(keys).candidates(jws.header, ALGORITHMS).keys
    except (TokenValidationException, ConfigurationException):
        return False
    return any(key.verify(jws.signing_input, jws.signature) for key in candidates)


def test_two_secrets_of_one_name_are_refused_even_if_one_is_unusable() -> None:
    """A set that a caller gives is ambiguous by its names, before any key of it is skipped (RFC 7517 4.5)."""
    good = {"kty": "oct", "kid": "one", "k": RFC_7515_A1["jwk"]["k"]}  # type: ignore[index]
    for other in (good, {**good, "k": good["k"][:-1] + "="}):
        with pytest.raises(ConfigurationException) as refusal:
            KeySet.from_keys({"keys": [good, other]})
        assert refusal.value.code == "kid_ambiguous"
    assert KeySet.from_keys({"keys": [good, {**good, "kid": "two"}]}).kids == ("one", "two")


# ---- ML-DSA


@pytest.mark.parametrize("alg", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_ml_dsa(vectors: Path, alg: str) -> None:
    """The tokens of the draft's authors are good, and key, thumbprint and seed belong together."""
    vector = load(vectors / f"ml-dsa-jose/{alg.replace('-', '_')}.jose.json")
    jwk = vector["jwk"] if isinstance(vector["jwk"], dict) else json.loads(vector["jwk"].replace("'", '"'))
    assert verified(vector["jws"], jwk) is not None
    assert verified(vector["jws"][:-20] + "A" * 19 + vector["jws"][-1], jwk) is None
    assert jwk_thumbprint(jwk) == jwk["kid"]
    signer = SigningKey.from_jwk(jwk)
    assert (signer.public_jwk or {})["pub"] == jwk["pub"]
    assert verified(sign_compact(b"payload", signer), jwk) == b"payload"


# ---- seeds of a fuzzer


def test_no_seed_crashes_a_parser(vectors: Path) -> None:
    """None of the 148 strings makes anything but our own exceptions come out."""
    seeds = [
        ".".join(seed) if isinstance(seed, list) else seed  # a detached payload stands beside its token
        for family in load(vectors / "go-jose-fuzz-seeds/seeds.json").values()
        if isinstance(family, dict)
        for group in family.values()
        for seed in group
    ]
    assert len(seeds) == 148
    for seed in seeds:
        verified(seed, RFC_7515_A1["jwk"])  # type: ignore[arg-type]
        for segment in seed.split("."):
            for parse in (loads, lambda text: loads_claims(b64url_decode(text))):
                try:
                    value = parse(segment)
                except (StrictJSONError, ValueError):
                    continue
                for jwk in (value, value.get("jwk") if isinstance(value, dict) else None):
                    try:
                        import_key(jwk)
                    except KeyRefused:
                        continue
