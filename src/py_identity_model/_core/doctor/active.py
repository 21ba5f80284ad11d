"""What is tried only where it is asked for: tokens that nobody may accept, and requests that leave a trace.

Nothing here uses a credential. What is made at a provider (a client that registers itself) is taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from ...exceptions import printable
from ..base.base64url import b64url_encode
from ..base.flow import Request
from ..base.strict_json import StrictJSONError, loads_object
from ..jose.jws import sign_compact
from ..jose.signing_keys import SigningKey
from .findings import Check, Finding
from .visit import USER_AGENT, Answer, host_of

FORGED: Final = Check(
    "forged_tokens",
    "whether tokens are let in that nobody issued (only with --active)",
    "whoever knows the issuer's name makes such a token: everything behind the API is open",
    "verify each signature with the provider's keys, and list the algorithms that are accepted (RS256, ES256)",
    "RFC 8725 3.1",
)
OPEN_REGISTRATION: Final = Check(
    "open_registration",
    "whether anybody may register a client (only with --active; the client is deleted again)",
    "clients of strangers show people your login page, and names and logos that they chose",
    "demand an initial access token, or let people see who registered a client",
    "RFC 7591 5",
)
TOKEN_ERRORS: Final = Check(
    "token_errors",
    "how the token endpoint refuses an unknown client (only with --active)",
    "clients tell a wrong secret from a provider that is down by the error's name",
    "answer 401 with invalid_client as JSON, not to be kept by caches",
    "RFC 6749 5.2",
)
PAR_ERRORS: Final = Check(
    "par_errors",
    "how a pushed request of an unknown client is refused (only with --active)",
    "a request that is pushed by anybody is one more way to start a login in somebody's name",
    "authenticate clients there as at the token endpoint, and answer with an OAuth error",
    "RFC 9126 2.3",
)
OPEN_REDIRECT: Final = Check(
    "open_redirect",
    "whether the authorization endpoint redirects to an address that nobody registered (only with --active)",
    "codes, and people, are sent to whoever made the link",
    "never redirect where client or redirect_uri are unknown: show the error to the person",
    "RFC 6749 4.1.2.1",
)
OPEN_INTROSPECTION: Final = Check(
    "open_introspection",
    "whether introspection answers without authentication (only with --active)",
    "whoever has found a token, or guesses, learns whether it is good and whose",
    "answer 401 to callers that do not authenticate",
    "RFC 7662 2.1",
)
CHECKS: Final = (FORGED, OPEN_REGISTRATION, TOKEN_ERRORS, PAR_ERRORS, OPEN_REDIRECT, OPEN_INTROSPECTION)

#: Who claims to be the client; RFC 6761 6.4: nobody is there.
CLIENT: Final = "py-identity-model-doctor"
CALLBACK: Final = "https://py-identity-model-doctor.invalid/callback"


class Forgery(NamedTuple):
    """A token that must be refused."""

    name: str
    token: str


def forgeries(issuer: str, audience: str, kid: str | None, rsa: Mapping[str, Any] | None, wall: float) -> list[Forgery]:
    """Return tokens that nobody may accept.

    Args:
        issuer: Who they claim to be of.
        audience: Who they claim to be for.
        kid: The name of a key of the issuer, if it is known.
        rsa: A public RSA key of the issuer, whose text stands in for a secret.
        wall: The time, in seconds since 1970.
    """
    now = int(wall)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": CLIENT,
        "client_id": CLIENT,
        "scope": "openid",
        "jti": CLIENT,
    }
    claims |= {"iat": now, "nbf": now, "exp": now + 300}
    own = SigningKey.generate("ES256", kid=kid)
    made = [
        Forgery("alg_none", _unsigned("none", kid, claims)),
        Forgery("alg_none_in_other_letters", _unsigned("nOnE", kid, claims)),
        Forgery("key_of_its_own", sign_compact(claims, own, typ="at+jwt")),
        Forgery("key_in_the_header", sign_compact(claims, own, typ="at+jwt", headers={"jwk": own.public_jwk})),
        Forgery("empty_signature", sign_compact(claims, own, typ="at+jwt").rpartition(".")[0] + "."),
    ]
    if rsa is not None:
        secret = msgspec.json.encode({name: rsa[name] for name in ("e", "kty", "n")})
        made.append(Forgery("public_key_as_secret", sign_compact(claims, SigningKey.from_secret(secret, "HS256", kid))))
    return made


def _unsigned(alg: str, kid: str | None, claims: Mapping[str, Any]) -> str:
    header = {"alg": alg, "typ": "at+jwt"} | ({} if kid is None else {"kid": kid})
    return ".".join((*(b64url_encode(msgspec.json.encode(part)) for part in (header, claims)), ""))


def forged(tried: Mapping[str, Answer], without: Answer, malformed: Answer) -> Iterator[Finding]:
    """Judge what forged tokens got.

    Args:
        tried: The answers, by the names of the forgeries.
        without: What a request without a token got.
        malformed: What a token got that is none.
    """
    if not tried:
        yield FORGED.skipped("no issuer is known that they could claim to be of")
        return
    if 200 <= without.status < 300:
        yield FORGED.skipped("it answers without a token")
        return
    let_in = [name for name, answer in tried.items() if 200 <= answer.status < 300]
    # 403: the token was believed, and does not suffice; unless whatever is wrong is refused so.
    refuses_so = 403 in (without.status, malformed.status)
    believed = [name for name, answer in tried.items() if answer.status == 403 and not refuses_so]
    broken = [name for name, answer in tried.items() if answer.status >= 500]
    for name in let_in:
        yield FORGED.failed(f"let in: {name.replace('_', ' ')}", name)
    for name in believed:
        yield FORGED.failed(f"believed, and refused for its rights only (403): {name.replace('_', ' ')}", name)
    for name in broken:
        text = "answer 401 to whatever cannot be verified"
        yield FORGED.warned(f"an error of the server: {name.replace('_', ' ')}", "forgery_breaks_server", text)
    if not (let_in or believed or broken):
        yield FORGED.passed(f"all {len(tried)} are refused")


# ---------------------------------------------------------------------------------------------------------------------
# A provider


def form(url: str, fields: Mapping[str, str]) -> Request:
    """Build a POST of form fields."""
    body = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields.items())
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "application/json"),
        ("User-Agent", USER_AGENT),
    )
    return Request("POST", url, headers, body.encode())


def registration_request(url: str) -> Request:
    """Build a request that registers a client."""
    document = {
        "client_name": CLIENT,
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    }
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"), ("User-Agent", USER_AGENT))
    return Request("POST", url, headers, msgspec.json.encode(document))


def deletion_request(answer: Answer) -> Request | None:
    """Build the request that takes a client away again, if the provider said how (RFC 7592 2.3)."""
    made = _object(answer)
    where, token = made.get("registration_client_uri"), made.get("registration_access_token")
    if not isinstance(where, str) or not isinstance(token, str) or host_of(where) != host_of(answer.url):
        return None
    if not token.isascii() or not token.isprintable() or urlsplit(where).scheme != urlsplit(answer.url).scheme:
        return None
    return Request("DELETE", where, (("Authorization", f"Bearer {token}"), ("User-Agent", USER_AGENT)))


def registration(answer: Answer, deleted: Answer | None) -> Finding:
    """Judge whether a stranger could register."""
    if answer.status in (200, 201) and "client_id" in _object(answer):
        gone = deleted is not None and deleted.status in (200, 204)
        after = "it was deleted again" if gone else f"it could not be deleted: remove the client named {CLIENT}"
        return OPEN_REGISTRATION.warned(f"a stranger's client was registered; {after}", "registration_open")
    if answer.status in (401, 403):
        return OPEN_REGISTRATION.passed(f"refused: {answer.status}")
    if answer.status >= 500:
        return OPEN_REGISTRATION.warned(answer.words, "registration_breaks_server", "answer 400 with an OAuth error")
    return OPEN_REGISTRATION.passed(f"refused: {answer.words} {_error(answer)}")


def token_errors(answer: Answer) -> Finding:
    """Judge how the token endpoint refuses a client that does not exist."""
    if 200 <= answer.status < 300:
        return TOKEN_ERRORS.failed(f"{answer.words} for a client that does not exist", "token_for_nobody")
    if answer.status >= 500:
        return TOKEN_ERRORS.failed(answer.words, "token_endpoint_breaks")
    error = _error(answer)
    if answer.status not in (400, 401) or not error:
        return TOKEN_ERRORS.warned(f"{answer.words}, without an OAuth error", "token_error_unreadable")
    if error not in ("invalid_client", "unauthorized_client"):
        return TOKEN_ERRORS.warned(f"{answer.status} {error}", "token_error_other")
    return TOKEN_ERRORS.passed(f"{answer.status} {error}")


def par_errors(answer: Answer) -> Finding:
    """Judge how a pushed request of a client that does not exist is refused."""
    if 200 <= answer.status < 300:
        return PAR_ERRORS.failed(f"{answer.words} for a client that does not exist", "par_for_nobody")
    if answer.status >= 500:
        return PAR_ERRORS.failed(answer.words, "par_breaks")
    return PAR_ERRORS.held(bool(_error(answer)), f"{answer.status} {_error(answer)}", f"{answer.words}, no OAuth error")


def open_redirect(answer: Answer) -> Finding:
    """Judge what became of a login with an address that nobody registered."""
    where = answer.header("location") or ""
    if host_of(where) == host_of(CALLBACK):
        return OPEN_REDIRECT.failed(f"{answer.status} to {printable(where, 80)}", "open_redirect")
    return OPEN_REDIRECT.passed(answer.words)


def open_introspection(answer: Answer) -> Finding:
    """Judge what introspection says to somebody who does not authenticate."""
    if 200 <= answer.status < 300:
        return OPEN_INTROSPECTION.failed(f"{answer.words} to a stranger", "introspection_open")
    if answer.status >= 500:
        return OPEN_INTROSPECTION.warned(answer.words, "introspection_breaks")
    return OPEN_INTROSPECTION.passed(answer.words)


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        return {} if answer.reply is None else loads_object(answer.reply.body)
    except StrictJSONError:
        return {}


def _error(answer: Answer) -> str:
    error = _object(answer).get("error")
    return printable(error, 60) if isinstance(error, str) else ""


__all__ = [
    "CALLBACK",
    "CHECKS",
    "CLIENT",
    "Forgery",
    "deletion_request",
    "forged",
    "forgeries",
    "form",
    "open_introspection",
    "open_redirect",
    "par_errors",
    "registration",
    "registration_request",
    "token_errors",
]
