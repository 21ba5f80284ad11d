"""The relying party of the conformance tests: the library as an application uses it, through any of its APIs."""

from __future__ import annotations

import importlib
from typing import Any

from apis import Api
from conformance.double import CLIENT_ID, CLIENT_SECRET, ISSUER, REDIRECT_URI, Op
from py_identity_model._core.login.begin import LoginRequest
from py_identity_model._core.login.client import LoginClient

#: What a client may ask for with its response type in the plans of OpenID Connect Core.
PLANS = {
    "basic": ["code"],
    "implicit": ["id_token", "id_token token"],
    "hybrid": ["code id_token", "code token", "code id_token token"],
}
FLOWS = [kind for kinds in PLANS.values() for kind in kinds]
#: Where an ID token comes through the browser, and where an access token or a code comes with it.
FRONT = [kind for kind in FLOWS if "id_token" in kind]
FRONT_TOKEN = [kind for kind in FRONT if kind.endswith(" token")]
FRONT_CODE = [kind for kind in FRONT if kind.startswith("code")]


class Rp:
    """A client of the double."""

    def __init__(self, api: Api, op: Op, response_type: str = "code", **client: Any) -> None:
        self.api, self.op = api, op
        side = "sync" if api.name == "sync" else "aio"
        self.door = importlib.import_module(f"py_identity_model.{side}")
        given = {"client_secret": CLIENT_SECRET, "id_token_signed_response_alg": op.alg, **client}
        self.client = LoginClient(
            issuer=ISSUER, client_id=CLIENT_ID, redirect_uri=REDIRECT_URI, response_type=response_type, **given
        )
        self.start: Any = None

    def begin(self, **request: Any) -> str:
        """Begin a login; return where the browser goes."""
        call = self.api.call
        self.start = call(self.door.begin_login, self.client, LoginRequest(**request), http_client=self.op)
        self.start.raise_for_error()
        return str(self.start.url)

    def end(self, callback: Any) -> Any:
        """Complete the login with what the browser brought."""
        body = callback if callback.startswith("http") else callback.encode()
        return self.api.call(self.door.complete_login, self.client, body, self.start.transaction, self.op)

    def login(self, **request: Any) -> Any:
        """Log in; return the response."""
        return self.end(self.op.authorize(self.begin(**request)))

    def refresh(self, login: Any) -> Any:
        """Refresh a login."""
        call = self.api.call
        return call(self.door.refresh_login, self.client, login.refresh_token, login.claims, http_client=self.op)

    def userinfo(self, login: Any, **request: Any) -> Any:
        """Ask for the claims about the user."""
        asked = self.door.UserInfoRequest(
            f"{ISSUER}/userinfo", login.access_token, expected_sub=(login.claims or {}).get("sub"), **request
        )
        return self.api.call(self.door.get_userinfo, asked, http_client=self.op)

    def refused(self, code: str | set[str], **request: Any) -> None:
        """Log in and expect that it is refused for that reason, and that the tokens are used for nothing."""
        response = self.login(**request)
        assert not response.is_successful
        assert response.error_code in ({code} if isinstance(code, str) else code), response.error
        assert "userinfo" not in self.op.asked
        assert "resource" not in self.op.asked
