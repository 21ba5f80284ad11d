"""Why a token is refused, blocking."""

from __future__ import annotations

from typing import Unpack

from .._arguments import explains_arguments, names_keywords
from .._core.explain.explanation import Explanation
from .._core.explain.walk import explained
from .._core.resource.requirement import Requirement
from .._core.validation.config import TokenValidationConfig
from .._core.validation.id_token import ExpectedIdToken
from .._core.validation.token_kinds import ACCESS_OR_ID_TOKEN
from .._token_validator import expectation_of
from ._clients import Transport
from ._driver import run
from ._validation import TokenValidator, validators


@explains_arguments
@names_keywords(ExpectedIdToken)
def explain(
    token: str,
    validator: TokenValidator | TokenValidationConfig,
    *,
    address: str | None = None,
    requirement: Requirement | None = None,
    show_claims: bool = False,
    http_client: Transport | None = None,
    **expected: Unpack[ExpectedIdToken],
) -> Explanation:
    """Explain why a token is accepted or refused: each check, what was expected, what came, and what would help.

    The verdict is the validator's own; nothing is checked less. For people and logs, not for answers to clients. The
    explanation never holds the token; claims only where it is asked for.

    Args:
        token: What came, as it came.
        validator: The validator that refuses it, or the configuration of ``validate_token``.
        address: With a configuration: the issuer URL, or the URL of its metadata.
        requirement: What a request must bring besides: scopes, roles, a recent login.
        show_claims: Whether the claims are part of the explanation, unverified where the token is refused.
        http_client: With a configuration: the transport, should something have to be fetched.
        expected: For ID tokens, what this login expects, see :class:`ExpectedIdToken`.

    Returns:
        The verdict, each check in order, and for each that does not hold what is usually the matter. Nothing that is
        wrong with the token, or with the network, is raised.

    Raises:
        ConfigurationException: The validator or the configuration cannot be used as it is.

    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> validator = TokenValidator(provider.issuer, audience="orders/", http_client=provider.transport)
    >>> explanation = explain(provider.mint(audience="orders", subject="ada"), validator)
    >>> explanation.cause, explanation.remedies[0].setting
    ('audience_trailing_slash', "audience='orders'")
    """
    if isinstance(validator, TokenValidator):
        core, carrier = validator._validator, validator._http_client
    else:
        core, carrier = validators(validator, address, ACCESS_OR_ID_TOKEN, http_client), http_client
    expectation = expectation_of(core.options, expected)
    return run(explained(core, token, expectation, requirement, show_claims=show_claims), carrier)


__all__ = ["explain"]
