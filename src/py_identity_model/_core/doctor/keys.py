"""A provider's keys: whether they can be fetched, are public, strong and told apart, and can be replaced in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ...exceptions import JwksException, PyIdentityModelException, printable
from ...settings import Settings
from ..base.strict_json import StrictJSONError, loads_object
from ..cache.freshness import told_lifetime
from ..jose.algorithms import ALGORITHMS, KeyRefused
from ..jose.jwks import parse_jwks
from ..jose.verification_keys import PRIVATE_MEMBERS, PublicKey, import_key
from .certificates import certificates
from .findings import Check, Finding
from .metadata import Document, cache
from .visit import Answer

FOUND: Final = Check(
    "jwks_found",
    "whether the key set can be fetched and read",
    "without keys no token can be verified: every request is refused, or worse, let in",
    "serve the set at jwks_uri as application/json, without a login and without a redirect",
    "RFC 7517 5",
)
USABLE: Final = Check(
    "keys_usable",
    "whether there are keys that can verify signatures",
    "a key that cannot be read is as good as none: its tokens are refused",
    "publish it as RFC 7518 6 says, or take it out",
    "RFC 7518 6",
)
PRIVATE: Final = Check(
    "key_private_members",
    "whether a private key is published",
    "whoever has read it makes any token he likes",
    "replace the key now, take it out, and look for tokens that nobody issued; publish public members only",
    "RFC 7517 9.2",
)
SYMMETRIC: Final = Check(
    "key_symmetric",
    "whether a shared secret is published",
    "a secret that everybody can fetch signs for everybody",
    "take it out and replace it; sign with a key pair (RS256, ES256)",
    "RFC 7517 9.2",
)
STRENGTH: Final = Check(
    "key_strength",
    "whether the keys are strong",
    "a weak key is computed from its public half, and then signs any token",
    "make new keys: RSA with 2048 bits or more and e=65537, P-256, or Ed25519, by a library that is kept up",
    "RFC 7518 3.3",
)
NAMES: Final = Check(
    "key_names",
    "whether each key has a kid of its own",
    "clients find the key of a token by its kid; without, or with two of one name, they try, guess or refuse",
    "give each key a kid of its own that is never used again, such as its thumbprint (RFC 7638)",
    "RFC 7517 4.5",
)
ALGORITHMS_SAID: Final = Check(
    "key_algorithms",
    "whether each key says its algorithm",
    "an RSA key without alg serves several algorithms, and some clients refuse it",
    "add alg to each key, the one that tokens are signed with",
    "RFC 7517 4.4",
)
PURPOSE: Final = Check(
    "key_purpose",
    "use and key_ops: whether they agree, and leave a key for signatures",
    "clients skip a key that is not for signatures, or whose marks contradict each other",
    'say use: "sig" for keys that sign, and leave key_ops out',
    "RFC 7517 4.3",
)
CERTIFICATE: Final = Check(
    "key_certificate",
    "whether x5c is of the key, and not expired",
    "clients that read the certificate verify with another key than the others",
    "write the certificate of that very key into x5c, renewed, or leave x5c out",
    "RFC 7517 4.7",
)
ROTATION: Final = Check(
    "key_rotation",
    "whether keys can be replaced without refusals",
    "a new key must be known to clients before it signs, and an old one stay until its last token has ended",
    "publish the next key beside the present one, and let the set be kept for an hour, not for days",
    "OpenID Connect Core 10.1.1",
)
CACHE: Final = Check(
    "jwks_cache",
    "how long the key set may be kept",
    "what must not be kept is fetched again and again: a provider that is slow or down takes its APIs along",
    "send Cache-Control: public, max-age=3600, and an ETag",
    "RFC 9111 5.2",
)
COVERAGE: Final = Check(
    "key_coverage",
    "whether there is a key for each algorithm that is announced, and no other",
    "a client that was registered for an algorithm without a key cannot verify a single token",
    "take the algorithm out of id_token_signing_alg_values_supported, or publish a key for it",
    "OpenID Connect Discovery 3",
)
CHECKS: Final = (
    FOUND,
    USABLE,
    PRIVATE,
    SYMMETRIC,
    STRENGTH,
    NAMES,
    ALGORITHMS_SAID,
    PURPOSE,
    CERTIFICATE,
    ROTATION,
    CACHE,
    COVERAGE,
)

_DAY: Final = 86400.0
#: Keys that make a set hard to handle: each is tried where a token names none.
_MANY: Final = 20
_WEAK: Final = frozenset(
    {"rsa_key_too_small", "rsa_exponent_invalid", "rsa_modulus_weak", "rsa_key_too_large", "ec_point_invalid"}
    | {"okp_point_small_order", "okp_point_not_canonical", "okp_point_invalid"}
)


class Member(NamedTuple):
    """One member of a set, with the key in it or why there is none."""

    jwk: Mapping[str, Any]
    place: int
    key: PublicKey | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        kid = self.jwk.get("kid")
        return printable(kid, 60) if isinstance(kid, str) and kid else f"the key at place {self.place + 1}"

    @property
    def encrypts(self) -> bool:
        """Whether it is for encryption, which no token is verified with."""
        alg = self.jwk.get("alg")
        return self.jwk.get("use") == "enc" or (isinstance(alg, str) and alg.startswith(("RSA-OAEP", "RSA1", "ECDH")))


def key_findings(document: Document, answer: Answer | None, settings: Settings, wall: float) -> Iterator[Finding]:
    """Judge a key set; *answer* is None where there is no address to ask."""
    if answer is None:
        yield _nowhere(document)
        return
    members, trouble = _members(answer)
    if members is None:
        yield trouble or FOUND.failed(answer.words)
        return
    yield _library(answer, settings)
    yield from _usable(members)
    yield from _secrets(members)
    signing = [one for one in members if not one.encrypts and one.jwk.get("kty") != "oct"]
    yield _strength(signing)
    yield _names(signing)
    yield _algorithms(signing)
    yield _purpose(members, signing)
    yield from certificates(CERTIFICATE, [(one.name, one.jwk, one.key) for one in members], wall)
    yield _rotation(signing, answer)
    yield cache(CACHE, answer)
    yield _coverage(document, signing)


def _nowhere(document: Document) -> Finding:
    if document.raw.get("jwks_uri") is not None:
        return FOUND.failed("jwks_uri is no address that can be fetched", "jwks_uri_unusable")
    return FOUND.failed(
        "there is no jwks_uri",
        "jwks_uri_missing",
        "add jwks_uri to the metadata; a provider of opaque tokens only (GitHub) has none: ask it",
    )


def _members(answer: Answer) -> tuple[list[Member] | None, Finding | None]:
    """Return the members of a set, or what is the matter with it."""
    reply = answer.reply
    if reply is None:
        code = answer.error.code if answer.error else None
        return None, FOUND.failed(answer.words, code, _UNFETCHED.get(str(code)))
    if 300 <= reply.status < 400:
        return None, FOUND.failed(answer.words, "jwks_redirected", "name the address it redirects to in jwks_uri")
    if reply.status != 200:
        return None, FOUND.failed(f"{answer.shown}: {answer.words}", *_refusal(answer))
    if reply.body.lstrip().startswith(b"-----BEGIN"):
        text = "keys in PEM are no key set: an AWS load balancer has them so, one per kid; give its ARN as signer"
        return None, FOUND.failed("PEM in place of JSON", "keys_are_pem", text)
    try:
        listed = loads_object(reply.body).get("keys")
    except StrictJSONError as error:
        return None, FOUND.failed(error.reason, _unreadable(answer, reply.body))
    if listed is None and b"-----BEGIN CERTIFICATE" in reply.body:
        text = "certificates by their kid (Google's and Firebase's older address): name the address of the key set, jwk"
        return None, FOUND.failed("certificates in place of keys", "keys_are_certificates", text)
    if not isinstance(listed, list):
        return None, FOUND.failed(
            'there is no list "keys"', "jwks_without_keys", 'wrap the keys: {"keys": [...]} (RFC 7517 5)'
        )
    return [_member(value, place) for place, value in enumerate(listed[:200])], None


def is_key_set(body: bytes) -> bool:
    """Tell whether a body is that of a key set."""
    try:
        return isinstance(loads_object(body).get("keys"), list)
    except StrictJSONError:
        return False


def _unreadable(answer: Answer, body: bytes) -> str:
    if body.lstrip()[:1] == b"<":
        return "jwks_is_web_page"
    return "jwks_is_empty" if not body.strip() else "jwks_no_json"


_UNFETCHED: Final = {
    "address_not_public": "jwks_uri leads into a network: give the provider its public address (Kubernetes: "
    "--service-account-jwks-uri); on a network of your own, allow_private_addresses=True",
    "https_required": "jwks_uri is plain http: on its way anybody replaces the keys by his own; see endpoint_hosts",
    "url_invalid": "jwks_uri is an absolute https address, no path",
    "dns_failed": "the host of jwks_uri is not known here: it is of the provider's own network, or mistyped",
}


def _refusal(answer: Answer) -> tuple[str, str | None]:
    if answer.status in (401, 403):
        text = "keys are public: take the login away; a cluster's (Kubernetes) may be fetched with a service account"
        return "jwks_needs_login", text
    if answer.status == 404:
        return "jwks_not_there", "jwks_uri leads nowhere: correct it, or have the proxy let its path through"
    return "jwks_failed", None


def _member(value: Any, place: int) -> Member:
    if not isinstance(value, dict):
        return Member({}, place, None, "jwk_not_an_object")
    public = {name: part for name, part in value.items() if name not in PRIVATE_MEMBERS}
    if value.get("kty") == "oct":
        return Member(value, place, None, "symmetric")
    try:
        return Member(value, place, import_key(public))
    except KeyRefused as error:
        return Member(value, place, None, error.reason)


def _library(answer: Answer, settings: Settings) -> Finding:
    """Say what this library makes of the set as a whole."""
    assert answer.reply is not None
    try:
        most, size = settings.max_jwks_keys, settings.max_jwks_size
        found = parse_jwks(answer.reply.body, max_keys=most, max_size=size, address=answer.url)
    except JwksException as error:
        return FOUND.failed(error.message, error.code)
    kind = answer.reply.media_type
    if kind and not (kind.startswith("application/") and kind.endswith("json")):
        return FOUND.failed(f"sent as {printable(kind, 60)}", "jwks_content_type", "send it as application/json")
    return FOUND.passed(f"{answer.shown}: {len(found.keys)} usable")


def _usable(members: Sequence[Member]) -> Iterator[Finding]:
    bad = [one for one in members if one.key is None and not one.encrypts and one.reason not in (*_WEAK, "symmetric")]
    for one in bad[:5]:
        yield USABLE.warned(f"{one.name}: {one.reason}", one.reason)
    if any(one.key is not None and not one.encrypts for one in members):
        if not bad:
            yield USABLE.passed(f"{len(members)} key{'s' * (len(members) != 1)}, all can be read")
        return
    yield USABLE.failed("none can verify a signature", "no_usable_key")


def _secrets(members: Sequence[Member]) -> Iterator[Finding]:
    leaked = [one for one in members if one.jwk.get("kty") != "oct" and PRIVATE_MEMBERS & one.jwk.keys()]
    names = "; ".join(f"{one.name} with {', '.join(sorted(PRIVATE_MEMBERS & one.jwk.keys()))}" for one in leaked[:3])
    yield PRIVATE.held(not leaked, names or "public members only", fails=True)
    shared = [one for one in members if one.jwk.get("kty") == "oct"]
    names = ", ".join(one.name for one in shared[:3])
    yield SYMMETRIC.held(not shared, names or "there is none", fails=True)


def _strength(signing: Sequence[Member]) -> Finding:
    weak = [one for one in signing if one.reason in _WEAK]
    if weak:
        return STRENGTH.failed(", ".join(f"{one.name}: {one.reason}" for one in weak[:4]), weak[0].reason)
    sizes = sorted({_size(one.key) for one in signing if one.key is not None})
    return STRENGTH.passed(", ".join(sizes) or "there is none to be judged")


def _size(key: PublicKey) -> str:
    return f"RSA {key.bits}" if key.kty == "RSA" else key.crv or key.alg or key.kty


def _names(signing: Sequence[Member]) -> Finding:
    kids = [one.jwk.get("kid") for one in signing]
    twice = [str(kid) for kid, count in Counter(str(kid) for kid in kids if kid).items() if count > 1]
    if twice:
        return NAMES.failed(f"several keys are called {', '.join(twice[:3])}", "kid_twice")
    unnamed = sum(1 for kid in kids if not isinstance(kid, str) or not kid)
    if unnamed:
        words = f"{unnamed} of {len(kids)} keys have no kid"
        return NAMES.warned(words, "kid_missing") if len(kids) > 1 else NAMES.warned(words, "kid_missing", _ONE_KEY)
    return NAMES.passed(", ".join(str(kid) for kid in kids[:4]) + (" ..." if len(kids) > 4 else ""))


_ONE_KEY: Final = "with one key clients manage; a second one could not be told from it: name both before you rotate"


def _algorithms(signing: Sequence[Member]) -> Finding:
    silent = [one for one in signing if one.jwk.get("alg") is None and one.jwk.get("kty") == "RSA"]
    unknown = [one for one in signing if one.jwk.get("alg") is not None and not _is_known(one.jwk["alg"])]
    if unknown:
        words = ", ".join(f"{one.name}: {printable(one.jwk['alg'], 40)}" for one in unknown[:4])
        return ALGORITHMS_SAID.warned(words, "key_alg_unknown")
    if silent:
        return ALGORITHMS_SAID.warned(
            f"{', '.join(one.name for one in silent[:3])}: RSA, without alg", "key_alg_missing"
        )
    said = sorted({str(one.jwk.get("alg") or one.jwk.get("crv")) for one in signing})
    return ALGORITHMS_SAID.passed(", ".join(said) or "there is none to be judged")


def _is_known(alg: object) -> bool:
    return isinstance(alg, str) and alg in ALGORITHMS


def _purpose(members: Sequence[Member], signing: Sequence[Member]) -> Finding:
    for one in members:
        use, ops = one.jwk.get("use"), one.jwk.get("key_ops")
        ops = ops if isinstance(ops, list) else None
        if ops is not None and use == "sig" and "verify" not in ops:
            return PURPOSE.failed(f"{one.name}: use is sig, key_ops has no verify", "key_ops_contradict_use")
        if ops is not None and use == "enc" and "verify" in ops:
            return PURPOSE.failed(f"{one.name}: use is enc, key_ops has verify", "key_ops_contradict_use")
        if ops is not None and "sign" in ops and "verify" not in ops:
            return PURPOSE.failed(f"{one.name}: key_ops is that of the private half", "key_ops_of_private_key")
    if members and not signing:
        return PURPOSE.failed("every key is for encryption", "only_encryption_keys")
    silent = [one for one in signing if one.jwk.get("use") is None and one.jwk.get("key_ops") is None]
    if silent and len(signing) < len(members):
        return PURPOSE.warned(f"{silent[0].name} does not say its use, others are for encryption", "key_use_missing")
    return PURPOSE.passed("for signatures" if not silent else "not said, which allows all")


def _rotation(signing: Sequence[Member], answer: Answer) -> Finding:
    assert answer.reply is not None
    seconds = told_lifetime(answer.reply, 0.0)
    count = sum(1 for one in signing if one.key is not None)
    if count > _MANY:
        return ROTATION.warned(f"{count} keys", "many_keys", "take out keys whose last token has ended")
    if seconds > 7 * _DAY or (count == 1 and seconds > _DAY):
        words = (
            f"{count} key{'s' * (count != 1)}, to be kept for {seconds / _DAY:.0f} days: a new one is known that late"
        )
        return ROTATION.warned(words, "keys_kept_long")
    return ROTATION.passed(f"{count} key{'s' * (count != 1)} for signatures")


def _coverage(document: Document, signing: Sequence[Member]) -> Finding:
    announced = document.texts("id_token_signing_alg_values_supported")
    keys = [one.key for one in signing if one.key is not None]
    if not announced or not keys:
        return COVERAGE.skipped("no algorithms are announced" if not announced else "there are no keys")
    without = [
        alg
        for alg in announced
        if alg in ALGORITHMS and not ALGORITHMS[alg].symmetric and not any(_fits(key, alg) for key in keys)
    ]
    if without:
        return COVERAGE.warned(f"announced, and without a key: {', '.join(without)}", "algorithm_without_key")
    idle = [key for key in keys if not any(alg in ALGORITHMS and _fits(key, alg) for alg in announced)]
    if idle:
        name = printable(idle[0].kid or "a key without a name", 60)
        return COVERAGE.warned(f"{name} fits none of {', '.join(announced)}", "key_without_algorithm")
    return COVERAGE.passed(", ".join(alg for alg in announced if alg in ALGORITHMS))


def _fits(key: PublicKey, alg: str) -> bool:
    row = ALGORITHMS[alg]
    if key.kty != row.kty or (row.crvs and key.crv not in row.crvs):
        return False
    # RFC 9864: EdDSA is Ed25519 or Ed448, by another name.
    return key.alg in (None, alg) or {key.alg, alg} <= {"EdDSA", "Ed25519", "Ed448"}


def first_rsa(answer: Answer | None) -> Mapping[str, Any] | None:
    """Return a public RSA key of a set, for forgeries that are tried with it."""
    try:
        members = _members(answer)[0] if answer is not None else None
    except PyIdentityModelException:
        return None
    return next((one.jwk for one in members or () if one.key is not None and one.key.kty == "RSA"), None)


def kids(answer: Answer | None) -> tuple[str, ...]:
    """Return the names of the keys of a set."""
    members = _members(answer)[0] if answer is not None else None
    return tuple(str(one.jwk["kid"]) for one in members or () if isinstance(one.jwk.get("kid"), str))


__all__ = ["CHECKS", "Member", "first_rsa", "is_key_set", "key_findings", "kids"]
