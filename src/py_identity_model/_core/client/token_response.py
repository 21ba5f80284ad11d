"""What a token endpoint answers: tokens, or the error that stands in their place (RFC 6749 5.1, 5.2; RFC 9449 5).

:func:`parse_json_answer` serves every other endpoint that answers with JSON and refuses with ``error``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from ..._refusals import is_number
from ...exceptions import MAX_ECHO, PyIdentityModelException, TokenRequestException, printable
from ..base.exchanges import retry_after
from ..base.flow import Reply
from ..base.provider_words import provider_words
from ..base.response import GUARDED, BaseResponse
from ..base.strict_json import StrictJSONError, loads_object
from ..base.transport import bare

BEARER = "bearer"
DPOP = "dpop"
#: RFC 8693 2.2.1: what was issued is no access token.
NOT_APPLICABLE = "n_a"

# RFC 6749 A.12, A.17: 1*VSCHAR, so that a token can stand in a header.
_TOKEN = re.compile(r"[\x20-\x7e]+\Z")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]{1,60}\+)?json\Z")

#: What most likely went wrong, by OAuth error.
_HINTS = {
    "invalid_client": "check client_id, the credential, and that auth_method is the one the client is registered with",
    "invalid_grant": "codes and refresh tokens are used up by one use, expire, and serve one client and redirect_uri",
    "unauthorized_client": "the client is not registered for this grant_type",
    "unsupported_grant_type": "the provider does not offer this grant_type",
    "invalid_target": "the provider does not know the resource or audience",
    "invalid_dpop_proof": "check the clock of this machine, and that the address is the endpoint's public URL",
}

#: Characters of a request for claims at most.
MAX_CLAIMS = 4096

T = TypeVar("T", bound="TokenResponse")


@dataclass(repr=False)
class TokenResponse(BaseResponse):
    """Tokens, or why there are none.

    Attributes:
        token: The provider's answer, the JSON object as it came.
        access_token: The access token.
        token_type: How to use it, as the provider spells it: ``Bearer``, ``DPoP`` or, from token exchange, ``N_A``.
        expires_at: When the access token expires, in seconds since 1970; None if the provider did not tell.
        refresh_token: The refresh token to use next.
        id_token: The ID token, **not yet validated**.
        scope: The scope granted; the one asked for where the provider did not tell (RFC 6749 5.1).
        authorization_details: What was granted (RFC 9396 7).
        issued_token_type: What kind of token was issued (RFC 8693 2.2.1).
        raw: The answer as text.
    """

    token: dict[str, Any] = GUARDED
    access_token: str = field(default=GUARDED, kw_only=True)
    token_type: str = field(default=GUARDED, kw_only=True)
    expires_at: float | None = field(default=None, kw_only=True)
    refresh_token: str | None = field(default=None, kw_only=True)
    id_token: str | None = field(default=None, kw_only=True)
    scope: str | None = field(default=None, kw_only=True)
    authorization_details: list[dict[str, Any]] | None = field(default=None, kw_only=True)
    issued_token_type: str | None = field(default=None, kw_only=True)
    raw: str | None = field(default=None, kw_only=True)

    _guarded: ClassVar[frozenset[str]] = frozenset(
        {"token", "access_token", "token_type", "expires_at", "refresh_token", "id_token", "scope"}
        | {"authorization_details", "issued_token_type", "raw"}
    )
    _redacted: ClassVar[frozenset[str]] = frozenset({"token", "access_token", "refresh_token", "id_token", "raw"})


def parse_token_response(
    kind: type[T],
    reply: Reply,
    wall: float,
    *,
    token_types: Collection[str] = (BEARER,),
    requires: Collection[str] = (),
    requested_scope: str | None = None,
    secrets: Iterable[str] = (),
) -> T:
    """Read the answer of a token endpoint.

    Args:
        kind: The response to make.
        reply: The HTTP reply.
        wall: When the request was sent, in seconds since 1970.
        token_types: What ``token_type`` may be, in lower case.
        requires: Members that must be there besides ``access_token`` and ``token_type``.
        requested_scope: The scope asked for.
        secrets: Texts to black out, should the provider repeat them.

    Raises:
        TokenRequestException: The provider refused, or its answer is not what it must be; ``code`` tells.
    """
    answer = parse_json_answer(reply, secrets=secrets, wall=wall)
    for name in requires:
        require_text(answer, name, reply)
    return kind(**read_tokens(answer, reply, wall, token_types, requested_scope), raw=reply.body.decode())


def read_tokens(
    answer: dict[str, Any],
    reply: Reply,
    wall: float,
    token_types: Collection[str] = (BEARER,),
    requested_scope: str | None = None,
) -> dict[str, Any]:
    """Return the fields of a :class:`TokenResponse`, each of its due type.

    Raises:
        TokenRequestException: A member is missing, malformed or unexpected.
    """
    token_type = require_text(answer, "token_type", reply)
    check_token_type(token_type, token_types, reply)
    lifetime = read_seconds(answer, "expires_in", reply)
    return {
        "is_successful": True,
        "status_code": reply.status,
        "token": answer,
        "access_token": require_text(answer, "access_token", reply),
        "token_type": token_type,
        "expires_at": None if lifetime is None else wall + lifetime,
        "refresh_token": read_text(answer, "refresh_token", reply),
        "id_token": read_text(answer, "id_token", reply),
        # RFC 6749 5.1: scope may be left out if it is identical to the one requested.
        "scope": read_text(answer, "scope", reply) or requested_scope,
        "authorization_details": _authorization_details(answer, reply),
        "issued_token_type": read_text(answer, "issued_token_type", reply),
    }


def check_token_type(token_type: str, allowed: Collection[str], reply: Reply) -> None:
    """Refuse a token that cannot be used the way it was asked for.

    RFC 6749 5.1: the type has no case. 7.1: a client must not use a token whose type it does not understand.

    Raises:
        TokenRequestException: ``dpop_token_expected`` or ``token_type_unsupported``.
    """
    if token_type.lower() in allowed:
        return
    downgraded = DPOP in allowed and token_type.lower() == BEARER
    raise unusable(
        reply,
        "dpop_token_expected" if downgraded else "token_type_unsupported",
        "the token is not bound to the DPoP key" if downgraded else "the token type is not the one asked for",
        claim="token_type",
        expected=sorted(allowed),
        actual=printable(token_type, 40),
        # RFC 9449 5: a provider that does not know DPoP answers with a Bearer token.
        hint="the provider does not support DPoP, or not for this client" if downgraded else None,
    )


def read_text(answer: Mapping[str, Any], name: str, reply: Reply) -> str | None:
    """Return the member *name*, visible ASCII, or None if it is absent, null or empty.

    Raises:
        TokenRequestException: It is something else.
    """
    value = answer.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _TOKEN.match(value):
        raise unusable(reply, f"{name}_invalid", f"{name} must be text", claim=name, expected="visible ASCII")
    return value


def require_text(answer: Mapping[str, Any], name: str, reply: Reply) -> str:
    """Return the member *name*, visible ASCII.

    Raises:
        TokenRequestException: It is missing, or something else.
    """
    value = read_text(answer, name, reply)
    if value is None:
        raise unusable(reply, f"{name}_missing", f"{name} is missing", claim=name)
    return value


def read_seconds(answer: Mapping[str, Any], name: str, reply: Reply) -> float | None:
    """Return the member *name* as seconds, or None if it is absent.

    Raises:
        TokenRequestException: It is no number of seconds.
    """
    value = answer.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)  # some providers quote the number; its meaning is plain
    if value is None:
        return None
    if not is_number(value, float, 0, 1e10):
        raise unusable(
            reply, f"{name}_invalid", f"{name} must be a number of seconds", claim=name, actual=printable(value, 40)
        )
    return value


def _authorization_details(answer: Mapping[str, Any], reply: Reply) -> list[dict[str, Any]] | None:
    details = answer.get("authorization_details")
    if details is None:
        return None
    # RFC 9396 2: an array of objects, each with a `type`.
    if not isinstance(details, list) or not all(
        isinstance(d, dict) and isinstance(d.get("type"), str) for d in details
    ):
        raise unusable(
            reply,
            "authorization_details_invalid",
            "authorization_details must be an array of objects with a type",
            claim="authorization_details",
        )
    return details


def parse_json_answer(
    reply: Reply,
    *,
    what: str = "token endpoint",
    success: Collection[int] = (200,),
    secrets: Iterable[str] = (),
    wall: float = 0.0,
) -> dict[str, Any]:
    """Return the JSON object that an endpoint answered with.

    Args:
        reply: The HTTP reply.
        what: What to call the endpoint in errors.
        success: The HTTP statuses of an answer.
        secrets: Texts to black out, should the provider repeat them.
        wall: The time, in seconds since 1970, that a ``Retry-After`` date is compared with.

    Raises:
        TokenRequestException: The provider refused (``request_refused``, with ``error``), is redirecting
            (``redirect_refused``), failed (``token_request_failed``), or the answer is no JSON object that everybody
            reads the same way (``content_type_invalid``, ``response_unparsable``).
    """
    if reply.status not in success:
        raise refusal(reply, what, secrets, wall)
    content_type = reply.media_type
    if content_type and not _JSON_TYPE.match(content_type):
        raise unusable(
            reply,
            "content_type_invalid",
            "it is not JSON",
            what,
            claim="content-type",
            expected="application/json",
            actual=printable(content_type, 60),
            hint="is the address the endpoint itself, not a page?",
        )
    try:
        answer = loads_object(reply.body)
    except StrictJSONError as error:
        raise unusable(reply, "response_unparsable", error.reason, what) from None
    if answer.get("error") is not None:  # some providers refuse with status 200
        raise refusal(reply, what, secrets, wall)
    return answer


def refusal(reply: Reply, what: str, secrets: Iterable[str] = (), wall: float = 0.0) -> TokenRequestException:
    """Return the exception for a reply that is no answer, with the provider's words if it gave any (RFC 6749 5.2)."""
    members = _error_members(reply)
    secrets = tuple(secrets)
    error = provider_words(members.get("error"), secrets, limit=MAX_ECHO)
    description, uri = (provider_words(members.get(name), secrets) for name in ("error_description", "error_uri"))
    redirected = 300 <= reply.status < 400
    said = f": {error}" + (f" ({description})" if description else "") if error else f" with HTTP {reply.status}"
    return TokenRequestException(
        f"The {what} {'redirected elsewhere,' if redirected else 'refused the request'}{said}",
        printable(bare(reply.url)) or None,
        reply.status,
        _details(members, secrets),
        error=error,
        error_description=description,
        error_uri=uri,
        code="request_refused" if error else "redirect_refused" if redirected else "token_request_failed",
        retry_after=retry_after(reply, wall),
        hint=_HINTS.get(error or ""),
    )


def _details(members: Mapping[str, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    """Return what some providers tell beside the error."""
    details: dict[str, Any] = {}
    interval, claims = members.get("interval"), members.get("claims")
    # RFC 8628 3.5 leaves the interval alone; some providers send the new one with `slow_down`.
    if isinstance(interval, int) and not isinstance(interval, bool):
        details["interval"] = interval
    # What the user's application has to ask for (OpenID Connect Core 5.5): whole or not at all, as it is sent on.
    if (
        isinstance(claims, str)
        and len(claims) <= MAX_CLAIMS
        and claims == provider_words(claims, secrets, limit=MAX_CLAIMS)
    ):
        details["claims"] = claims
    return details


#: Errors at a token endpoint that say nothing about the refresh token, but about the client or the provider.
_NOT_ABOUT_THE_GRANT = frozenset(
    {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target"}
    | {"invalid_authorization_details", "invalid_dpop_proof", "use_dpop_nonce", "use_attestation_challenge"}
    | {"invalid_client_attestation", "server_error", "temporarily_unavailable", "slow_down", "access_denied"}
)


def refresh_token_is_dead(error: PyIdentityModelException) -> bool:
    """Tell whether a refresh was refused for good, so that the user has to log in anew.

    RFC 6749 5.2 calls that ``invalid_grant``. Some providers say ``invalid_request`` or a word of their own, some
    answer 400 or 403 without any. What is wrong with the client or with the provider is something else.
    """
    if not isinstance(error, TokenRequestException) or error.code not in ("request_refused", "token_request_failed"):
        return False
    if error.error is not None:
        return error.error not in _NOT_ABOUT_THE_GRANT and (error.status_code or 0) < 429
    return error.status_code in (400, 403)


def unusable(reply: Reply, code: str, reason: str, what: str = "token endpoint", **facts: Any) -> TokenRequestException:
    """Return the exception for an answer that must not be acted upon."""
    url = printable(bare(reply.url)) or None
    return TokenRequestException(
        f"The answer of the {what} cannot be used: {reason}", url, reply.status, code=code, **facts
    )


def _error_members(reply: Reply) -> dict[str, Any]:
    try:
        return loads_object(reply.body, max_size=65536)
    except StrictJSONError:
        return {}


__all__ = [
    "BEARER",
    "DPOP",
    "NOT_APPLICABLE",
    "TokenResponse",
    "check_token_type",
    "parse_json_answer",
    "parse_token_response",
    "read_seconds",
    "read_text",
    "read_tokens",
    "refresh_token_is_dead",
    "refusal",
    "require_text",
    "unusable",
]
