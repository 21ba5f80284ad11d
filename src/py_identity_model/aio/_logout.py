"""Back-channel logout, awaited (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

from typing import Any

from .._arguments import explains_arguments
from .._core.base.store import AnyStore
from .._core.jose.jwe import Decryption
from .._core.login import backchannel_logout as flows
from .._core.login.backchannel_logout import BackChannelLogout, BackChannelLogoutReceiverBase
from .._core.login.client import LoginClient
from .._core.validation.config import TokenValidationConfig
from .._core.validation.token_kinds import Kind
from .._core.validation.validator import Validator
from ._clients import Transport
from ._driver import run
from ._validation import validators, validators_for


@explains_arguments
async def validate_logout_token(
    logout_token: str,
    token_validation_config: TokenValidationConfig | LoginClient,
    disco_doc_address: str | None = None,
    http_client: Transport | None = None,
    *,
    store: AnyStore | None = None,
    require_typ: bool = False,
    decryption: Decryption | None = None,
    accept_logout_tokens_without_exp: bool = False,
) -> dict[str, Any]:
    """Validate a logout token and return its claims (Back-Channel Logout 2.6).

    Args:
        logout_token: The token, in compact form.
        token_validation_config: What to check; its ``audience`` is the ``client_id``, its ``algorithms`` the registered
            ``id_token_signed_response_alg``. A ``LoginClient`` knows all of it, decryption included.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        http_client: The transport, should something have to be fetched.
        store: Where used tokens are remembered, so that each is accepted once; see also
            :class:`BackChannelLogoutReceiver`, which always has one.
        require_typ: Whether ``typ`` must be ``logout+jwt``; otherwise it may also be absent or ``JWT``.
        decryption: Keys and algorithms, if ID tokens are encrypted to the client. A token that is not is refused then.
        accept_logout_tokens_without_exp: Whether a token may lack ``exp``, as those of Hydra do: it counts for 120
            seconds from its ``iat`` on, once, so that *store* is needed, and each one is told as an event.

    Returns:
        A new dict of the claims. End the session of ``sid``, or without one all sessions of ``sub``, at that ``iss``.

    Raises:
        TokenValidationException: The token is not valid; rules of logout tokens raise
            :class:`LogoutTokenValidationException`.
        NetworkException: It cannot be validated right now.
        ConfigurationException: The configuration cannot be used safely.
    """
    policy = flows.logout_policy(
        token_validation_config, disco_doc_address, store, require_typ, decryption, accept_logout_tokens_without_exp
    )
    return await run(flows.validate_logout_token(logout_token, policy, validators_for(http_client)), http_client)


class BackChannelLogoutReceiver(BackChannelLogoutReceiverBase[Transport]):
    """Judges the requests to a ``backchannel_logout_uri`` and accepts each token once. Tasks may share it."""

    def _validators(self, config: TokenValidationConfig, address: str | None, kind: Kind) -> Validator:
        return validators(config, address, kind, self._http_client)

    @explains_arguments
    async def receive(self, body: bytes | str, content_type: str | None) -> BackChannelLogout:
        """Judge a request.

        Args:
            body: The body of the POST request.
            content_type: Its header ``Content-Type``.

        Returns:
            The claims, if there is a session to end, and what to answer with. Nothing is raised for what came in.
        """
        return await run(self._judged(body, content_type), self._http_client)


__all__ = ["BackChannelLogoutReceiver", "validate_logout_token"]
