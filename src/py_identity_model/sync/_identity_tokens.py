"""The token of a workload, for whatever is asked with it by other means, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.base.secret import Secret
from .._core.client.identity_tokens import IdentityTokenSource
from ._clients import Transport
from ._driver import run


@explains_arguments
def fetch_identity_token(source: IdentityTokenSource, http_client: Transport | None = None) -> Secret:
    """Return the token of a workload as it is now, for a service that is no OAuth provider, such as the STS of AWS.

    Args:
        source: Where it comes from: :class:`KubernetesToken`, :class:`GitHubActions` and so on.
        http_client: The transport; by default the thread's own client.

    Returns:
        The token; it is not remembered.

    Raises:
        ConfigurationException: It is not where it should be, or cannot be used.
        TokenUnavailable: It has expired, or whoever gives it out is away.

    >>> import os
    >>> from py_identity_model import EnvironmentToken
    >>> os.environ["ID_TOKEN"] = "opaque"
    >>> fetch_identity_token(EnvironmentToken("ID_TOKEN"))
    Secret([redacted])
    """
    return run(source._fetch(), http_client)


__all__ = ["fetch_identity_token"]
