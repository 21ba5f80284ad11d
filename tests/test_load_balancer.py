"""Claims that an AWS Application Load Balancer signs: ``x-amzn-oidc-data``, which looks like a JWT and is none."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import py_identity_model
import py_identity_model.aio
from apis import Api
from py_identity_model import (
    ConfigurationException,
    NetworkException,
    PyIdentityModelException,
    Reply,
    Request,
    SigningKey,
    TokenValidationException,
    TokenValidator,
)
from py_identity_model._core.validation.load_balancer import MAX_DATA, MAX_UNVERIFIED
from py_identity_model.testing import FrozenClock

NOW = 1_800_000_000
ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
OTHER_ARN = "arn:aws:elasticloadbalancing:eu-west-1:210987654321:loadbalancer/app/shop/50dc6c495c0c9189"
KID = "12345678-1234-1234-1234-123456789012"
ISSUER = "https://idp.acme.example"
HEADER = {"typ": "JWT", "kid": KID, "alg": "ES256", "iss": ISSUER, "client": "alb", "signer": ARN, "exp": NOW + 120}
CLAIMS = {"sub": "248289761001", "email": "jane@acme.example", "exp": NOW + 120, "iss": ISSUER}
PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = SigningKey.from_cryptography(PRIVATE, "ES256")
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

RSA_PEM = (
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def api(request: pytest.FixtureRequest) -> Api:
    """Each API."""
    return Api(request.param)


@pytest.fixture(autouse=True)
def clock() -> Iterator[FrozenClock]:
    """A clock that stands still."""
    with FrozenClock(NOW) as frozen:
        yield frozen


def text(part: object, padding: bool = True) -> str:
    """Return JSON, or octets, as the load balancer writes them."""
    octets = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    encoded = base64.urlsafe_b64encode(octets).decode()
    return encoded if padding else encoded.rstrip("=")


def signed(header: object = HEADER, claims: object = CLAIMS, key: SigningKey = KEY, padding: bool = True) -> str:
    """Return what a load balancer would send: the signature is over the padded text."""
    said = f"{text(header, padding)}.{text(claims, padding)}"
    return f"{said}.{text(key.sign(said.encode()), padding)}"


class Keys:
    """The place of the keys, and what was asked of it."""

    def __init__(self, **keys: bytes | int) -> None:
        self.keys: dict[str, bytes | int] = {KID: PEM, **keys}
        self.asked: list[str] = []

    def __call__(self, request: Request) -> Reply:
        """Answer as S3 does: 403 for what is not there."""
        self.asked.append(request.url)
        found = self.keys.get(request.url.rpartition("/")[2], 403)
        return Reply(found) if isinstance(found, int) else Reply(200, (("content-type", "binary/octet-stream"),), found)


def validator(api: Api, keys: Keys, signer: str | list[str] = ARN, **options: Any) -> Any:
    """Return a validator of this API that asks *keys*."""
    module = py_identity_model if api.name == "sync" else py_identity_model.aio
    return module.AlbDataValidator(signer, http_client=keys, **options)


def refusal(api: Api, given: Any, data: Any) -> PyIdentityModelException:
    """Return why *data* is refused."""
    with pytest.raises(PyIdentityModelException) as caught:
        api.call(given.validate, data)
    return caught.value


def test_what_the_load_balancer_signed_is_read(api: Api) -> None:
    """The claims come, the key is asked for once, at the region of the ARN; padding is what the signature is over."""
    keys = Keys()
    given = validator(api, keys, client="alb", issuer=ISSUER)
    for claims in (CLAIMS, {**CLAIMS, "name": "J"}, {**CLAIMS, "name": "Ja"}, {**CLAIMS, "name": "Jan"}):
        assert api.call(given.validate, signed(claims=claims)) == claims
    assert api.call(given.validate, signed(padding=False)) == CLAIMS, "as JOSE has it, should AWS ever mend that"
    assert keys.asked == [f"https://public-keys.auth.elb.eu-west-1.amazonaws.com/{KID}"]


@pytest.mark.parametrize(
    ("arn", "address"),
    [
        (ARN.replace("eu-west-1", "ap-southeast-5"), "https://public-keys.auth.elb.ap-southeast-5.amazonaws.com/"),
        (
            ARN.replace("arn:aws:", "arn:aws-us-gov:").replace("eu-west-1", "us-gov-west-1"),
            "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/",
        ),
    ],
)
def test_the_region_of_the_arn_says_where_keys_are(arn: str, address: str, api: Api) -> None:
    """Each partition has a host of its own, and a load balancer is asked about in its own region only."""
    keys = Keys()
    given = validator(api, keys, signer=[ARN, arn])
    api.call(given.validate, signed({**HEADER, "signer": arn}))
    assert keys.asked == [address + KID]


HOSTILE: dict[str, tuple[Callable[[], Any], str, str | None]] = {
    "no text": (lambda: 7, "policy_invalid", "data"),
    "nothing": (lambda: "", "token_malformed", None),
    "too large": (lambda: "a" * (MAX_DATA + 1), "token_too_large", None),
    "another load balancer": (lambda: signed({**HEADER, "signer": OTHER_ARN}), "load_balancer_mismatch", "signer"),
    "no signer": (lambda: signed(without("signer")), "load_balancer_mismatch", "signer"),
    "a list of signers": (lambda: signed({**HEADER, "signer": [ARN]}), "load_balancer_mismatch", "signer"),
    "another client": (lambda: signed({**HEADER, "client": "other"}), "load_balancer_mismatch", "client"),
    "another issuer": (lambda: signed({**HEADER, "iss": ISSUER + "/"}), "issuer_mismatch", "iss"),
    "alg none": (lambda: signed({**HEADER, "alg": "none"}), "alg_not_allowed", "alg"),
    "alg HS256": (
        lambda: signed({**HEADER, "alg": "HS256"}, key=SigningKey.from_secret(PEM, "HS256")),
        "alg_not_allowed",
        "alg",
    ),
    "alg RS256": (lambda: signed({**HEADER, "alg": "RS256"}), "alg_not_allowed", "alg"),
    "a path as kid": (lambda: signed({**HEADER, "kid": "../../evil/key"}), "header_invalid", "kid"),
    "an encoded path as kid": (lambda: signed({**HEADER, "kid": "..%2f..%2fkey"}), "header_invalid", "kid"),
    "an address as kid": (lambda: signed({**HEADER, "kid": "//evil.example/key"}), "header_invalid", "kid"),
    "a query as kid": (lambda: signed({**HEADER, "kid": KID + "?versionId=1"}), "header_invalid", "kid"),
    "a dot as kid": (lambda: signed({**HEADER, "kid": "."}), "header_invalid", "kid"),
    "a line as kid": (lambda: signed({**HEADER, "kid": KID + "\n"}), "header_invalid", "kid"),
    "an empty kid": (lambda: signed({**HEADER, "kid": ""}), "header_invalid", "kid"),
    "a list as kid": (lambda: signed({**HEADER, "kid": [KID]}), "header_invalid", "kid"),
    "a long kid": (lambda: signed({**HEADER, "kid": "a" * 65}), "header_invalid", "kid"),
    "critical": (lambda: signed({**HEADER, "crit": ["exp"]}), "crit_unsupported", "crit"),
    "expired": (lambda: signed({**HEADER, "exp": NOW}), "token_expired", "exp"),
    "no end": (lambda: signed(without("exp")), "claim_missing", "exp"),
    "an end in words": (lambda: signed({**HEADER, "exp": "never"}), "claim_type_invalid", "exp"),
    "three signs of padding": (lambda: padded("==="), "token_malformed", None),
    "four signs of padding": (lambda: signed() + "====", "token_malformed", None),
    "some padding": (lambda: signed().rstrip("="), "token_malformed", None),
    "padding within": (lambda: signed().replace(".", "=.", 1), "token_malformed", None),
    "base64": (lambda: signed(claims={"sub": "???"}).replace("_", "/"), "token_malformed", None),
    "a space": (lambda: " " + signed(), "token_malformed", None),
    "four parts": (lambda: signed() + ".e30=", "token_malformed", None),
    "signer twice": (
        lambda: signed(json.dumps(HEADER).replace("{", '{"signer":"' + OTHER_ARN + '",', 1).encode()),
        "header_invalid",
        None,
    ),
}  # fmt: skip


def without(name: str) -> dict[str, object]:
    """Return the header without one of its members."""
    return {member: value for member, value in HEADER.items() if member != name}


def padded(signs: str) -> str:
    """Return data whose last part has this padding."""
    said = signed().rpartition(".")[0]
    return f"{said}.{'A' * 85}{signs}"


@pytest.mark.parametrize("api_name", ["sync", "asyncio"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_before_any_key_is_looked_for(name: str, api_name: str) -> None:
    """Whatever can be refused by its words is, with its cause, and no key is fetched for it."""
    make, code, claim = HOSTILE[name]
    api, keys = Api(api_name), Keys()
    error = refusal(api, validator(api, keys, client=["alb"], issuer=[ISSUER]), make())
    assert (error.code, error.claim) == (code, claim)
    assert keys.asked == []


def test_what_no_key_of_the_load_balancer_signed_is_refused(api: Api) -> None:
    """Another key, changed claims, a signature in DER or over the text without padding are all one refusal."""
    keys = Keys()
    given = validator(api, keys)
    stranger = SigningKey.generate("ES256")
    header, _, signature = signed().split(".")
    said = f"{text(HEADER)}.{text(CLAIMS)}"
    der = PRIVATE.sign(said.encode(), ec.ECDSA(SHA256()))
    bare = KEY.sign(said.replace("=", "").encode())
    forged = [
        signed(key=stranger),
        f"{header}.{text({**CLAIMS, 'sub': 'admin'})}.{signature}",
        f"{said}.{text(der)}",
        f"{said}.{text(bare)}",
        f"{said}.{text(bytes(64))}",
    ]
    assert [refusal(api, given, each).code for each in forged] == ["signature_invalid"] * 5
    assert len(keys.asked) == 1


def test_signed_claims_are_looked_at_too(api: Api) -> None:
    """A subject is there, the end in the claims counts as well, and both issuers are the same."""
    given = validator(api, Keys())
    wrong = [{**CLAIMS, "sub": ""}, {**CLAIMS, "exp": NOW}, {**CLAIMS, "iss": "https://other.example"}, b"[]", b"{}"]
    codes = [refusal(api, given, signed(claims=each)).code for each in wrong]
    assert codes == ["claim_missing", "token_expired", "issuer_mismatch", "payload_invalid", "claim_missing"]


def test_leeway_is_for_the_end(api: Api, clock: FrozenClock) -> None:
    """Data is good until its end, and for the leeway beyond."""
    exact, kind = validator(api, Keys()), validator(api, Keys(), leeway=5)
    clock.set(NOW + 122)
    assert refusal(api, exact, signed()).code == "token_expired"
    assert api.call(kind.validate, signed()) == CLAIMS
    clock.set(NOW + 125)
    assert refusal(api, kind, signed()).code == "token_expired"


def test_keys_that_are_not_there_and_places_that_are_away(api: Api) -> None:
    """An unknown kid is a refusal, an outage is none, and neither is asked about again at once."""
    keys = Keys(down=503, odd=b"-----BEGIN PUBLIC KEY-----", moved=302, rsa=RSA_PEM)
    given = validator(api, keys)

    def said(kid: str) -> PyIdentityModelException:
        return refusal(api, given, signed({**HEADER, "kid": kid}))

    unknown = said("unknown")
    assert isinstance(unknown, TokenValidationException)
    assert (unknown.code, unknown.claim) == ("key_unknown", "kid")
    for kid, code in (("down", "jwks_failed"), ("moved", "jwks_failed")):
        error = said(kid)
        assert isinstance(error, NetworkException)
        assert error.code == code
    assert [said(kid).code for kid in ("odd", "rsa")] == ["jwks_unusable"] * 2
    asked = len(keys.asked)
    assert {said(kid).code for kid in ("unknown", "down")} == {"key_unknown", "jwks_failed"}
    assert len(keys.asked) == asked


def test_made_up_keys_cost_a_bounded_number_of_requests(api: Api, clock: FrozenClock) -> None:
    """Names of keys that are made up are looked up a few times in a minute; the key in use goes on being used."""
    keys = Keys()
    given = validator(api, keys)
    assert api.call(given.validate, signed()) == CLAIMS
    codes = [refusal(api, given, signed({**HEADER, "kid": f"made-up-{n}"})).code for n in range(100)]
    assert codes == ["key_unknown"] * MAX_UNVERIFIED + ["load_balancer_trials_exhausted"] * (100 - MAX_UNVERIFIED)
    assert len(keys.asked) == 1 + MAX_UNVERIFIED
    assert api.call(given.validate, signed()) == CLAIMS
    clock.advance(61)
    keys.keys["new"] = PEM
    assert api.call(given.validate, signed({**HEADER, "kid": "new"})) == CLAIMS


@pytest.mark.parametrize(
    ("arguments", "claim"),
    [
        ({"signer": ""}, "signer"),
        ({"signer": []}, "signer"),
        ({"signer": ARN.replace("/app/", "/net/")}, "signer"),
        ({"signer": ARN.replace("eu-west-1", "evil.example/x-1")}, "signer"),
        ({"signer": ARN.replace("eu-west-1", "eu-west-1.evil.example#")}, "signer"),
        ({"signer": ARN + "\n"}, "signer"),
        ({"signer": [ARN, "*"]}, "signer"),
        ({"signer": ARN.replace("arn:aws:", "arn:aws-cn:")}, "keys_url"),
        ({"signer": ARN, "keys_url": "http://keys.example/"}, "keys_url"),
        ({"signer": ARN, "keys_url": "https://keys.example/?kid="}, "keys_url"),
        ({"signer": ARN, "client": ""}, "client"),
        ({"signer": ARN, "issuer": []}, "issuer"),
        ({"signer": ARN, "leeway": -1}, "leeway"),
    ],
)
def test_settings_that_check_nothing_are_refused(arguments: dict[str, Any], claim: str) -> None:
    """No pattern, no empty list, no host out of an ARN, and no partition whose address is a guess."""
    with pytest.raises(ConfigurationException) as caught:
        py_identity_model.AlbDataValidator(**arguments)
    assert caught.value.claim == claim


def test_no_other_validator_takes_it() -> None:
    """Padding is accepted there only: for a ``TokenValidator`` it is no token, whoever's keys it has."""
    other = TokenValidator(ISSUER, audience="alb", keys=PEM)
    with pytest.raises(TokenValidationException) as caught:
        other.validate(signed(claims={**CLAIMS, "aud": "alb"}))
    assert caught.value.code == "token_malformed"


def test_keys_over_the_network() -> None:
    """Over a real connection: the key is fetched from a mirror on this machine."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(PEM)))
            self.end_headers()
            self.wfile.write(PEM)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}/keys"
        for name in ("sync", "asyncio"):
            api = Api(name)
            module = py_identity_model if name == "sync" else py_identity_model.aio
            assert api.call(module.AlbDataValidator(ARN, keys_url=place).validate, signed()) == CLAIMS
        server.shutdown()
    assert asked == [f"/keys/{KID}"] * 2
