"""Authorization responses in a JWT (JARM), awaited."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from .._arguments import explains_arguments
from .._core.jose.algorithms import SignatureAlgorithm
from .._core.jose.jwks import JwksResponse
from .._core.login import jarm as flows
from .._core.login.callback import AuthorizeCallbackResponse
from .._core.login.jarm import JarmPolicy
from ._clients import Transport
from ._driver import run
from ._validation import stores_for, validators_for

if TYPE_CHECKING:
    from .._core.jose.jwe import Decryption


@explains_arguments
async def process_jarm_response(
    response: str,
    *,
    client_id: str,
    disco_doc_address: str | None = None,
    issuer: str | None = None,
    jwks: JwksResponse | None = None,
    algorithms: Sequence[SignatureAlgorithm] | None = None,
    require_https: bool = True,
    leeway: float = 0,
    http_client: Transport | None = None,
    is_jwt: bool = False,
    decryption: Decryption | None = None,
    backchannel: str | None = None,
    state: str | None = None,
) -> AuthorizeCallbackResponse:
    """Verify an authorization response in a JWT and take it apart (JARM 2.4, FAPI 2.0 Message Signing 5.4.2).

    Args:
        response: The URL that the user was sent back to, or the JWT itself.
        client_id: The client: ``aud`` must name it.
        disco_doc_address: The issuer URL, or the URL of its metadata; its keys verify the signature.
        issuer: The accepted ``iss``; by default the issuer that the metadata names.
        jwks: The provider's keys, where they are not to be looked up; with an *issuer*.
        algorithms: Accepted signature algorithms; by default the asymmetric ones that fit the key. Never ``none``.
        require_https: Refuse plain http; loopback addresses are always accepted.
        leeway: Seconds of clock difference that are forgiven.
        http_client: The transport, should something have to be fetched.
        is_jwt: Whether *response* is the JWT itself, as ``response_mode=form_post.jwt`` brings it.
        decryption: Keys and algorithms, where the client is registered for encrypted responses. One that is merely
            signed is refused then.
        backchannel: Where the provider is reached from here, if not at its public addresses: ``http://keycloak:8080``.
        state: The ``state`` that was sent. A response with another one is refused before anything is fetched for it.

    Returns:
        The parameters of the response, which only the JWT brought: ``code``, ``state``, ``issuer``. A failed one, with
        ``error``, where the provider refused. ``state`` is yet to be compared.

    Raises:
        JarmValidationException: The JWT is refused; ``code``, ``claim`` and ``hint`` say why.
        AuthorizeCallbackException: It is no authorization response, or an ambiguous one.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The arguments cannot be used safely.
    """
    policy = JarmPolicy(
        client_id, disco_doc_address, issuer, jwks, algorithms, require_https, leeway, decryption, backchannel, state
    )
    services = validators_for(http_client), partial(stores_for, http_client)
    return await run(flows.process_jarm_response(response, policy, is_jwt, *services), http_client)


__all__ = ["process_jarm_response"]
