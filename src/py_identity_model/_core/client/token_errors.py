"""What can keep a token from being there, told so that a program knows what to do: log in, wait, or step up."""

from __future__ import annotations

from ...exceptions import ClientError, NetworkException, PyIdentityModelException


class LoginRequired(PyIdentityModelException):
    """There is no login, or it is over: only the user can bring a new one.

    Attributes:
        verb: The method of the client that brings a new login: ``begin_login``, ``device_login`` or ``loopback_login``.
    """

    code = "login_required"
    needs_new_login = True

    def __init__(self, message: str, verb: str = "begin_login", **facts: object) -> None:
        super().__init__(message, **{"hint": f"call {verb}()", **facts})  # type: ignore[arg-type] # checked there
        self.verb = verb

    @property
    def client_error(self) -> ClientError:
        return ClientError(401, "login_required", "The user has to log in again")


class TokenUnavailable(NetworkException):
    """No token can be had right now, and none that is still valid is at hand; ``retry_after`` says when to ask again.

    ``__cause__`` is what went wrong.
    """

    code = "token_unavailable"


class StepUpRequired(PyIdentityModelException):
    """The resource wants a token that grants more, or a user who authenticated better or anew (RFC 6750 3.1, RFC 9470).

    Attributes:
        scope: All scopes to ask for: those of the token at hand and those the resource named.
        acr_values: Authentication context classes, any one of which will do.
        max_age: Seconds since the user authenticated, at most.
        verb: The method of the client to call with them.
    """

    code = "step_up_required"

    def __init__(
        self,
        message: str,
        scope: tuple[str, ...] = (),
        acr_values: tuple[str, ...] = (),
        max_age: int | None = None,
        verb: str = "begin_login",
        **facts: object,
    ) -> None:
        super().__init__(message, **{"hint": f"call {verb}() with what is asked for", **facts})  # type: ignore[arg-type] # checked there
        self.scope = scope
        self.acr_values = acr_values
        self.max_age = max_age
        self.verb = verb

    @property
    def client_error(self) -> ClientError:
        return ClientError(403, "insufficient_scope", "The request requires higher privileges than the token grants")


__all__ = ["LoginRequired", "StepUpRequired", "TokenUnavailable"]
