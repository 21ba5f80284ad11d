"""Cross-app access, the first leg: an identity assertion for the authorization server of another application.

The Identity Assertion JWT Authorization Grant (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant): a client that
a user logged in to with an identity provider exchanges the ID token there for an assertion, which the authorization
server of another application takes in place of the user's consent (RFC 7523 2.1).
"""

from __future__ import annotations

from typing import NamedTuple

from ...exceptions import TokenRequestException, printable
from ..base.flow import Flow, now
from .identity_tokens import audiences_of, taken_apart
from .token_exchange import ExchangeTokenType, TokenExchangeRequest, TokenExchangeResponse, exchange_token
from .token_response import NOT_APPLICABLE

#: The ``typ`` of an assertion (draft 3).
ID_JAG_TYP = "oauth-id-jag+jwt"


def exchange_for_id_jag(request: TokenExchangeRequest) -> Flow[TokenExchangeResponse]:
    """Exchange an identity assertion for one that another authorization server takes.

    Args:
        request: With the identifier of that server as its one ``audience``.

    Returns:
        The assertion, in ``access_token``; it is no access token. Whatever is no assertion for that server is refused.
    """
    response = yield from exchange_token(request)
    if not response.is_successful:
        return response
    fault = _fault(response, request, (yield from now()).wall)
    return response if fault is None else TokenExchangeResponse.failed(_unusable(response, fault))


class _Fault(NamedTuple):
    """What is wrong with an answer: the member, what was expected and what came."""

    claim: str
    expected: str
    actual: object
    code: str


def _fault(response: TokenExchangeResponse, request: TokenExchangeRequest, wall: float) -> _Fault | None:
    """Return what is wrong with the answer; None if it is an assertion."""
    issued, kind = response.issued_token_type, response.token_type or ""
    if issued != ExchangeTokenType.ID_JAG:
        return _Fault("issued_token_type", ExchangeTokenType.ID_JAG.value, issued, code="id_jag_missing")
    if kind.lower() != NOT_APPLICABLE:  # draft 4.3: it is no access token
        return _Fault("token_type", "N_A", kind, code="token_type_unsupported")
    if response.access_token.count(".") == 4:  # encrypted to the server that gets it
        return None
    found = taken_apart(response.access_token)
    if found is None:
        return _Fault("access_token", "a signed JWT", None, code="id_jag_invalid")
    header, claims = found
    typ = str(header.get("typ", "")).lower().removeprefix("application/")
    if typ != ID_JAG_TYP:
        return _Fault("typ", ID_JAG_TYP, typ, code="id_jag_invalid")
    audiences = audiences_of(claims)
    if audiences != [request.audience]:  # it would let another server act, or be of no use at the one that was meant
        return _Fault("aud", str(request.audience), " ".join(audiences), code="id_jag_audience")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or wall >= expires:
        return _Fault("exp", "a time to come", None, code="id_jag_invalid")
    return None


def _unusable(response: TokenExchangeResponse, fault: _Fault) -> TokenRequestException:
    return TokenRequestException(
        f"What the provider issued is no identity assertion for that server: {fault.claim}",
        status_code=response.status_code,
        code=fault.code,
        claim=fault.claim,
        expected=fault.expected,
        actual=None if fault.actual is None else printable(fault.actual),
    )


__all__ = ["ID_JAG_TYP", "exchange_for_id_jag"]
