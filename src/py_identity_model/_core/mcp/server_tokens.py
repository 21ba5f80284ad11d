"""The tokens of one user for one MCP server: found, renewed, and asked for where the server says what it wants.

=========  =====================================  =============================================================
state      a request goes out                     it is refused with 401 or 403
=========  =====================================  =============================================================
unknown    without a token: the answer tells      the server's metadata is read, a client chosen, the user logs
           what the server wants                  in: known
known      with the token at hand, renewed in     401: the metadata is read again. The same authorization server:
           time                                   the token is renewed, and if that does not help the user logs
                                                  in. Another one: as unknown, with a client of its own there
                                                  more scopes wanted: the user logs in with all scopes so far
lost       without a token, as unknown            as unknown
=========  =====================================  =============================================================

What is known lies in the store, so that processes share one login: who comes later finds it, who comes meanwhile waits
for it. Nobody is asked for the same scopes twice, nor more than three times in a row without an accepted request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ...exceptions import PyIdentityModelException
from ...observability import emit
from ..base.flow import Clock, Flow, now, sleep
from ..base.header_lists import words
from ..base.secret import same_text
from ..binding.challenges import Challenge
from ..binding.dpop_client import DPoPKey
from ..client.held_tokens import AccessToken
from ..client.token_errors import LoginRequired, StepUpRequired, TokenUnavailable
from ..client.token_renewal import jittered
from ..login.oauth_client import MAX_STEP_UPS, TokenSource
from ..login.oauth_grants import Wants
from ..login.oauth_verbs import OAuthVerbs
from ..resource.protected_resource import AuthenticationRequirement
from .assertions import AssertionTokens
from .browser import Wanted, log_in
from .clients import Registrations, client_at
from .discovery import Found, find
from .logins import Known, Logins
from .options import AUTHORIZATION_CODE, MCPOptions, Means
from .scopes import Words, challenged, once, scopes_to_ask_for
from .turns import Turn

#: Authorizations in a row without an accepted request, and seconds after which one of them does not count any more.
MAX_AUTHORIZATIONS: Final = 3
FORGOTTEN_AFTER: Final = 600.0
#: Seconds between two looks whether another process has logged in, on the average.
LOOK_EVERY: Final = 0.25
#: Errors that say that the authorization server does not know the client any more.
_UNKNOWN_CLIENT = frozenset({"invalid_client", "unauthorized_client"})


class Refused(NamedTuple):
    """How a server refused a request."""

    status: int
    challenges: Sequence[Challenge]
    #: The token that it was sent with.
    token: AccessToken | None
    step_up: AuthenticationRequirement | None = None


class Session(NamedTuple):
    """What brings tokens, once a server is known."""

    known: Known
    client: OAuthVerbs[Any]
    tokens: TokenSource


class ServerTokens:
    """The tokens for one server. Threads and tasks may share it.

    Args:
        options: What the application says.
        means: What the API at hand has.
    """

    verb: str = "MCPAuth"

    def __init__(self, options: MCPOptions, means: Means) -> None:
        self._options, self._means = options, means
        self._logins = Logins(options, means.store)
        self._session: Session | None = None
        self._attempts: list[float] = []
        self._step_ups = 0

    def __repr__(self) -> str:
        return f"ServerTokens({self._options.server!r})"

    @property
    def dpop_key(self) -> DPoPKey | None:
        """The key that tokens are bound to; known once there was one."""
        return None if self._session is None else self._session.tokens.dpop_key

    def current(self, clock: Clock) -> AccessToken | None:
        """Return the token if it is in memory and needs no renewal."""
        return None if self._session is None else self._session.tokens.current(clock)

    def at_hand(self) -> Flow[AccessToken | None]:
        """Return a token that nobody has to be asked for; None where there is none.

        Raises:
            TokenUnavailable: The authorization server, or the store, is away.
            PyIdentityModelException: Whatever else the authorization server refused a renewal for.
        """
        if self._session is None:
            yield from self._recall(None)
        session = self._session
        if session is None:
            return None
        try:
            return (yield from session.tokens.token())
        except LoginRequired:
            return None
        except PyIdentityModelException as error:
            if not self._is_forgotten(error):
                raise
            yield from self._forget(session.known)
            return None

    def accepted(self) -> None:
        """Note that the server took a request."""
        self._attempts.clear()

    def _recall(self, login: str | None) -> Flow[bool]:
        """Take up what the store knows, unless it is the *login* that is known already."""
        known = yield from self._logins.read()
        if known is None or known.login == login:
            return False
        client = yield from self._logins.client(known)
        if client is None:
            return False
        self._begin(known, self._means.client_of(client, known.bound))
        return True

    def _begin(self, known: Known, made: OAuthVerbs[Any]) -> Session:
        wants = self._wants(known)
        assertion = self._options.assertion
        tokens = made._source(wants) if assertion is None else AssertionTokens(made, wants, assertion)
        self._session = Session(known, made, tokens)
        return self._session

    def _wants(self, known: Known) -> Wants:
        if self._options.kind == AUTHORIZATION_CODE:
            return Wants(resource=known.resource, subject=self._subject(known.resource))
        subject = None if self._options.assertion is None else self._options.subject
        return Wants(list(known.asked) or None, known.resource, subject=subject)

    def _subject(self, resource: str) -> str:
        # Each server has a refresh token of its own: one for several would be good for the last of them only.
        return f"{self._options.subject} at {resource}"

    # ---- a client that the authorization server forgot

    def _is_forgotten(self, error: PyIdentityModelException) -> bool:
        return self._options.client_id is None and getattr(error, "error", None) in _UNKNOWN_CLIENT

    def _forget(self, known: Known) -> Flow[None]:
        if known.client_id != self._options.client_metadata_url:
            yield from Registrations(self._means.store).forget(known.issuer)
        yield from self._logins.forget()
        self._session = None

    # ---- a refusal

    def after(self, refused: Refused) -> Flow[AccessToken]:
        """Return another token for a request that was refused.

        Raises:
            StepUpRequired: The server wants more than can be asked for.
            LoginRequired: It takes no token, however often the user logs in.
            TokenUnavailable: The authorization server, or the store, is away, or another process takes too long.
            PyIdentityModelException: Whatever else went wrong on the way.
        """
        other = yield from self.at_hand()
        if other is not None and not _same(other, refused.token):
            return other  # another request was quicker
        before = self._session
        found = yield from self._find(refused.challenges)
        known = None if before is None or not before.known.is_of(found) else before.known
        if before is not None and known is None:
            emit("mcp_authorization_server_changed", 30, server=self._options.server, issuer=found.issuer)
        scope = self._scope(found, known, refused)
        if known is not None and self._may_renew(refused, known, scope):
            renewed = yield from self._renewed(refused)
            if renewed is not None:
                return renewed
        self._check_more(known, refused, scope)
        if self._options.kind == AUTHORIZATION_CODE:
            return (yield from self._logged_in(found, scope, refused))
        return (yield from self._granted(found, scope, refused))

    def _find(self, challenges: Sequence[Challenge]) -> Flow[Found]:
        options, before = self._options, self._session
        issuers = [options.issuer] if options.issuer is not None else []
        if options.client_id is not None and not issuers and before is not None:
            issuers = [before.known.issuer]  # a client is registered with one, the first that was named
        return find(options.server, challenges, issuers, self._means.services, self._means.settings)

    def _scope(self, found: Found, known: Known | None, refused: Refused) -> Words:
        at_hand = words((refused.token.scope if refused.token else None) or "")
        before = once((*known.asked, *at_hand)) if known is not None else ()
        offered = found.metadata.scopes_supported if self._options.kind == AUTHORIZATION_CODE else None
        return scopes_to_ask_for(challenged(refused.challenges), before, found.scopes, offered)

    def _may_renew(self, refused: Refused, known: Known, scope: Words) -> bool:
        wanted = set(scope) <= set(once((*known.asked, *words((refused.token and refused.token.scope) or ""))))
        return refused.status == 401 and refused.token is not None and refused.step_up is None and wanted

    def _renewed(self, refused: Refused) -> Flow[AccessToken | None]:
        session, token = self._session, refused.token
        if session is None or token is None:
            return None
        try:
            renewed = yield from session.tokens.token(refused=token.access_token)
        except LoginRequired:
            return None
        except PyIdentityModelException as error:
            if not self._is_forgotten(error):
                raise
            yield from self._forget(session.known)
            return None
        return None if _same(renewed, token) else renewed

    def _check_more(self, known: Known | None, refused: Refused, scope: Words) -> None:
        """Ask nobody for what was asked for before."""
        if refused.status != 403 or known is None or refused.step_up is not None:
            return
        if set(scope) <= set(known.asked) or self._step_ups >= MAX_STEP_UPS:
            raise self._step_up_required(refused, scope)
        self._step_ups += 1

    def _step_up_required(self, refused: Refused, scope: Words) -> StepUpRequired:
        step_up = refused.step_up
        return StepUpRequired(
            "The server wants a token that grants more than was given for these scopes",
            scope,
            () if step_up is None else step_up.acr_values,
            None if step_up is None else step_up.max_age,
            self.verb,
            expected=" ".join(scope) or None,
            hint="the user, or the authorization server, does not grant them",
        )

    def _attempt(self, refused: Refused, scope: Words) -> Flow[None]:
        """Count an authorization.

        Raises:
            StepUpRequired: It is one too many, after 403.
            LoginRequired: It is one too many, after 401.
        """
        steady = (yield from now()).steady
        self._attempts = [at for at in self._attempts if steady < at + FORGOTTEN_AFTER]
        if len(self._attempts) < MAX_AUTHORIZATIONS:
            self._attempts.append(steady)
            return
        if refused.status == 403:
            raise self._step_up_required(refused, scope)
        raise LoginRequired(
            f"The server refused what {MAX_AUTHORIZATIONS} authorizations in a row brought",
            self.verb,
            code="authorizations_exhausted",
            hint="its metadata and its tokens do not fit together, or the user does not agree",
        )

    # ---- the user logs in

    def _logged_in(self, found: Found, scope: Words, refused: Refused) -> Flow[AccessToken]:
        turn = Turn(self._means.store, self._logins.turn_key)
        login = None if self._session is None else self._session.known.login
        until = (yield from now()).steady + self._options.seconds + LOOK_EVERY
        while not (yield from turn.taken()):
            yield from sleep(jittered(LOOK_EVERY))
            token = yield from self._adopted(login, refused)
            if token is not None:
                return token
            if (yield from now()).steady >= until:
                raise TokenUnavailable("Another process is logging in, for too long", code="login_elsewhere")
        try:
            token = yield from turn.keeping(self._login(login, found, scope, refused))
        except Exception:  # whatever it was, the next one may try
            yield from turn.given_back()
            raise
        yield from turn.given_back()
        return token

    def _adopted(self, login: str | None, refused: Refused) -> Flow[AccessToken | None]:
        """Return the token of a login that another process made meanwhile."""
        if not (yield from self._recall(login)):
            return None
        token = yield from self.at_hand()
        return None if token is None or _same(token, refused.token) else token

    def _login(self, login: str | None, found: Found, scope: Words, refused: Refused) -> Flow[AccessToken]:
        token = yield from self._adopted(login, refused)
        if token is not None:
            return token
        yield from self._attempt(refused, scope)
        means, options = self._means, self._options
        bound = options.dpop or found.bound
        made, client, done = yield from log_in(found, Wanted(scope, refused.step_up, bound), options, means)
        yield from made._keep_login(client, done, self._subject(found.resource), found.resource, self.verb)
        known = yield from self._logins.keep(client, found, scope, bound)
        return (yield from self._begin(known, made).tokens.token())

    # ---- grants without a user

    def _granted(self, found: Found, scope: Words, refused: Refused) -> Flow[AccessToken]:
        yield from self._attempt(refused, scope)
        bound = self._options.dpop or found.bound
        client = yield from client_at(found, self._options, self._means)
        known = yield from self._logins.keep(client, found, scope, bound)
        session = self._begin(known, self._means.client_of(client, bound))
        refused_token = None if refused.token is None else refused.token.access_token
        return (yield from session.tokens.token(refused=refused_token))


def _same(one: AccessToken, other: AccessToken | None) -> bool:
    return other is not None and same_text(one.access_token, other.access_token)


__all__ = ["MAX_AUTHORIZATIONS", "Refused", "ServerTokens"]
