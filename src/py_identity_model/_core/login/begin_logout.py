"""The beginning of a logout at the provider, with what client and login know (RP-Initiated Logout 1.0)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..base.flow import Flow
from ..base.response import GUARDED, BaseResponse, answered
from .client import LoginClient, LoginServices, hint_of, provider_metadata, unsupported
from .logout import EndSessionForm, build_end_session_form, build_end_session_url
from .response import LoginResponse


@dataclass(repr=False)
class LogoutStart(BaseResponse):
    """Where to send the browser so that the provider ends its session, too.

    Attributes:
        url: The URL to redirect to; it shows the ID token.
        form: The same as a form that the browser posts, which shows it nowhere.
        state: What comes back; keep it in a cookie and compare it with ``validate_post_logout_state``. None where the
            user does not come back.
    """

    url: str = GUARDED
    form: EndSessionForm = GUARDED
    state: str | None = None

    _guarded: ClassVar[frozenset[str]] = frozenset({"url", "form", "state"})
    _redacted: ClassVar[frozenset[str]] = frozenset({"url", "state"})


def begin_logout(
    client: LoginClient,
    login: LoginResponse | str | None,
    post_logout_redirect_uri: str | None,
    parameters: Mapping[str, Any],
    services: LoginServices,
) -> Flow[LogoutStart]:
    """Return where to send the browser; the ID token goes along as a hint, decrypted if it came encrypted."""

    def begin() -> Flow[LogoutStart]:
        metadata = yield from provider_metadata(client, services)
        if not metadata.end_session_endpoint:
            raise unsupported("end_session_endpoint", "logout by the client", None)
        state = None if post_logout_redirect_uri is None else secrets.token_urlsafe(32)
        given: dict[str, Any] = {
            "id_token_hint": _hint(client, login),
            "client_id": client.client_id,
            "post_logout_redirect_uri": post_logout_redirect_uri,
            "state": state,
            **parameters,
        }
        endpoint = metadata.end_session_endpoint
        url, form = build_end_session_url(endpoint, **given), build_end_session_form(endpoint, **given)
        return LogoutStart(True, url=url, form=form, state=state)

    return (yield from answered(LogoutStart, begin))


def _hint(client: LoginClient, login: LoginResponse | str | None) -> str | None:
    if isinstance(login, LoginResponse):
        login.raise_for_error()
        return login.id_token_hint
    return None if login is None else hint_of(client, login)


__all__ = ["LogoutStart", "begin_logout"]
