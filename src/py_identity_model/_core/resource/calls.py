"""Calling a protected resource: where a token may go, how it goes there, and what is tried after a refusal.

RFC 6750 2.1 and 3.1, RFC 9449 7 and 9 (DPoP), RFC 9470 (step-up). One request is sent at most four times: as it is,
with the nonce that the resource asked for, with a renewed token, and with one that grants more; each kind of repeat
once, and only a request whose body can be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ..._refusals import must_be, refused
from ...exceptions import ConfigurationException, PyIdentityModelException, printable
from ..base.flow import Flow, Reply, now
from ..base.header_lists import words
from ..base.secret import same_text
from ..base.urls import origin, parse_url
from ..binding.challenges import Challenge, parse_challenges
from ..binding.dpop_client import DPoPKey, build_dpop_headers, build_dpop_proof
from ..binding.offered_nonces import offered_nonce
from ..client.held_tokens import AccessToken
from ..client.token_errors import StepUpRequired
from .protected_resource import parse_step_up

Headers = dict[str, str]


class TokenSource(Protocol):
    """Where the tokens of a call come from."""

    #: The key that they are bound to; known once there was a token.
    dpop_key: DPoPKey | None
    #: The verb that brings a new login.
    verb: str

    def token(self, refused: str | None = None) -> Flow[AccessToken]:
        """Return a token; another one than *refused*."""
        ...

    def widen(self, scope: tuple[str, ...]) -> Flow[bool]:
        """Ask for *scope* from now on, if the grant allows that at once."""
        ...


class Answered(NamedTuple):
    """What a resource answered."""

    status: int
    #: The values of ``WWW-Authenticate``.
    challenges: Sequence[str] = ()
    #: The value of ``DPoP-Nonce``, if there is exactly one.
    nonce: str | None = None


def answered(status: int, headers: Iterable[tuple[str, str]]) -> Answered:
    """Return what matters of an answer."""
    told = tuple((name.lower(), value) for name, value in headers)
    reply = Reply(status, told)
    return Answered(status, tuple(reply.header_values("www-authenticate")), offered_nonce(reply))


def permitted_origins(
    resource: Sequence[str], origins: Sequence[str] | None, *, allow_insecure_http: bool = False
) -> frozenset[str]:
    """Return where tokens may go: to *origins*, by default to the origins of *resource*.

    Raises:
        ConfigurationException: Neither names a place (``token_origins_missing``), or one is no URL that a token may be
            sent to.
    """
    if isinstance(origins, str):
        raise must_be("origins", "a list", origins)
    named = list(origins) if origins is not None else [r for r in resource if r.lower().startswith(("https:", "http:"))]
    if not named:
        raise ConfigurationException(
            "It is not said where the tokens may go",
            code="token_origins_missing",
            claim="origins",
            expected="a resource that is a URL, or origins",
            hint="client.auth(..., origins=['https://api.example.com'])",
        )
    for url in named:
        parse_url(url, "origins", require_https=not allow_insecure_http)
    return frozenset(origin(url) for url in named)


def check_origin(url: str, origins: frozenset[str]) -> None:
    """Refuse to send a token anywhere else.

    Raises:
        ConfigurationException: The URL has another origin; the code is ``token_origin_refused``.
    """
    try:
        found = origin(url)
    except ConfigurationException:
        found = ""
    if found not in origins:
        raise refused(
            ConfigurationException,
            "token_origin_refused",
            "The request goes where its token may not go",
            "url",
            sorted(origins),
            found,
            hint="client.auth(..., origins=[...]) names every origin that may see the token",
        )


class Call:
    """One request, and what was tried for it.

    Args:
        source: Where tokens come from.
        origins: Where they may go.
        method: The HTTP method.
        url: The URL of the request.
        sent: The token that it was sent with already.
    """

    __slots__ = ("_method", "_nonced", "_renewed", "_source", "_token", "_url", "_widened")

    def __init__(
        self, source: TokenSource, origins: frozenset[str], method: str, url: str, sent: AccessToken | None = None
    ) -> None:
        check_origin(url, origins)
        self._source, self._method, self._url = source, method, url
        self._token = sent
        self._nonced = self._renewed = self._widened = False

    def begin(self) -> Flow[Headers]:
        """Return the header fields to send the request with.

        Raises:
            PyIdentityModelException: There is no token: the request is not sent without one.
        """
        self._token = yield from self._source.token()
        return (yield from self._headers(self._token))

    def _headers(self, token: AccessToken) -> Flow[Headers]:
        key = self._source.dpop_key
        if key is None and token.token_type == "Bearer":
            return {"Authorization": f"Bearer {token.access_token}"}
        if key is None or token.token_type != "DPoP":
            # RFC 9449 7.2: a bound token is of no use as a bearer token, and must not be shown as one.
            raise must_be(
                "token_type", "DPoP exactly where there is a DPoP key", token.token_type, code="dpop_token_misplaced"
            )
        wall = (yield from now()).wall
        nonce = key.nonces.get(self._url)
        proof = build_dpop_proof(key, self._method, self._url, wall=wall, access_token=token.access_token, nonce=nonce)
        return build_dpop_headers(proof, token.access_token)

    def after(self, answer: Answered, *, repeatable: bool) -> Flow[Headers | None]:
        """Return the header fields to send the request once more with; None if the answer is for the caller.

        Raises:
            StepUpRequired: The resource wants more than a renewal can bring.
            LoginRequired: The token was refused, and the login is over.
            TokenUnavailable: The token was refused, and no other one is to be had.
        """
        key = self._source.dpop_key
        if key is not None and answer.nonce:
            key.nonces.remember(self._url, answer.nonce)
        if answer.status not in (401, 403) or self._token is None:
            return None
        challenges = known_challenges(answer)
        if names_error(challenges, "use_dpop_nonce"):
            return (yield from self._with_nonce(answer, repeatable))
        if names_error(challenges, "insufficient_user_authentication") or names_error(challenges, "insufficient_scope"):
            return (yield from self._step_up(challenges, repeatable))
        return (yield from self._renew(repeatable)) if answer.status == 401 else None

    def _with_nonce(self, answer: Answered, repeatable: bool) -> Flow[Headers | None]:
        if self._nonced or not repeatable or not answer.nonce or self._token is None:
            return None
        self._nonced = True
        return (yield from self._headers(self._token))

    def _renew(self, repeatable: bool) -> Flow[Headers | None]:
        if self._renewed or self._token is None:
            return None
        self._renewed = True
        try:
            token = yield from self._source.token(refused=self._token.access_token)
        except PyIdentityModelException:
            if repeatable:
                raise
            return None
        # What cannot be repeated is told as it is; the next request has the new token.
        if not repeatable or same_text(token.access_token, self._token.access_token):
            return None
        self._token = token
        return (yield from self._headers(token))

    def _step_up(self, challenges: tuple[Challenge, ...], repeatable: bool) -> Flow[Headers | None]:
        user = parse_step_up(challenges)
        scope = _union(self._token, challenges)
        by_scope = names_error(challenges, "insufficient_scope")
        if by_scope and not self._widened and repeatable and (yield from self._source.widen(scope)):
            self._widened = True
            self._token = yield from self._source.token()
            return (yield from self._headers(self._token))
        what = "a token that grants more" if by_scope else "a user who authenticated better, or anew"
        raise StepUpRequired(
            f"The resource wants {what}",
            scope,
            () if user is None else user.acr_values,
            None if user is None else user.max_age,
            self._source.verb,
            expected=printable(" ".join(scope)) or None,
        )


def known_challenges(answer: Answered) -> tuple[Challenge, ...]:
    """Return the challenges of the schemes that tokens are for."""
    found = parse_challenges(answer.challenges)
    return tuple(c for c in found if c.has_scheme("Bearer") or c.has_scheme("DPoP"))


def names_error(challenges: tuple[Challenge, ...], error: str) -> bool:
    """Tell whether one of the challenges names this error."""
    return any(challenge.get("error") == error for challenge in challenges)


def _union(token: AccessToken | None, challenges: tuple[Challenge, ...]) -> tuple[str, ...]:
    """Return the scopes at hand and those that are asked for, each once."""
    at_hand = words((token.scope if token else None) or "")
    asked = [word for challenge in challenges for word in words(challenge.get("scope") or "")]
    return tuple(dict.fromkeys((*at_hand, *asked)))


__all__ = [
    "Answered",
    "Call",
    "TokenSource",
    "answered",
    "check_origin",
    "known_challenges",
    "names_error",
    "permitted_origins",
]
