"""One request to an MCP server, and what was tried for it."""

from __future__ import annotations

from ..base.flow import Flow
from ..client.held_tokens import AccessToken
from ..resource.calls import Answered, Call, Headers, known_challenges, names_error
from ..resource.protected_resource import parse_step_up
from .server_tokens import MAX_AUTHORIZATIONS, Refused, ServerTokens

#: Times that one request is sent again with another token: one renewal more than there are authorizations.
MAX_REPEATS = MAX_AUTHORIZATIONS + 1


class ServerCall(Call):
    """One request to an MCP server.

    Args:
        tokens: Where its tokens come from.
        origins: Where they may go.
        method: The HTTP method.
        url: The URL of the request.
        sent: The token that it was sent with already.
    """

    __slots__ = ("_left", "_tokens")

    def __init__(
        self, tokens: ServerTokens, origins: frozenset[str], method: str, url: str, sent: AccessToken | None = None
    ) -> None:
        super().__init__(tokens, origins, method, url, sent)  # type: ignore[arg-type] # it is asked otherwise, see below
        self._tokens = tokens
        self._left = MAX_REPEATS

    def begin(self) -> Flow[Headers]:
        """Return the header fields to send the request with: none where only its answer can tell what is wanted."""
        self._token = yield from self._tokens.at_hand()
        return {} if self._token is None else (yield from self._headers(self._token))

    def after(self, answer: Answered, *, repeatable: bool) -> Flow[Headers | None]:
        """Return the header fields to send the request once more with; None if the answer is for the caller.

        Raises:
            StepUpRequired: The server wants more than can be asked for.
            LoginRequired: It takes no token, however often the user logs in.
            PyIdentityModelException: Whatever else kept a token from being had.
        """
        key = self._tokens.dpop_key
        if key is not None and answer.nonce:
            key.nonces.remember(self._url, answer.nonce)
        if answer.status not in (401, 403):
            self._tokens.accepted()
            return None
        challenges = known_challenges(answer)
        if names_error(challenges, "use_dpop_nonce"):
            return (yield from self._with_nonce(answer, repeatable))
        more = any(names_error(challenges, one) for one in ("insufficient_scope", "insufficient_user_authentication"))
        if self._left <= 0 or not (more or answer.status == 401):
            return None
        self._left -= 1
        refused = Refused(answer.status, challenges, self._token, parse_step_up(challenges))
        token = yield from self._tokens.after(refused)
        # What cannot be repeated is told as it is; the next request has the token.
        if not repeatable:
            return None
        self._token, self._nonced = token, False
        return (yield from self._headers(token))


__all__ = ["ServerCall"]
