"""Device authorization grant: approve on one device, get tokens on another, blocking."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.client import device as flows
from .._core.client.device import (
    DeviceAuthorizationRequest,
    DeviceAuthorizationResponse,
    DeviceTokenRequest,
    DeviceTokenResponse,
)
from ._clients import Transport
from ._driver import run


@explains_arguments
def request_device_authorization(
    request: DeviceAuthorizationRequest,
    http_client: Transport | None = None,
) -> DeviceAuthorizationResponse:
    """Ask for a code that a person enters on another device (RFC 8628 3.1).

    Args:
        request: Endpoint, credentials and scope.
        http_client: The transport; by default the thread's own client.

    Returns:
        The codes and the page to open. Nothing that the provider or the network does is raised: see
        ``is_successful``, ``error_code`` and ``raise_for_error()``.

    >>> from py_identity_model._core.base.flow import Reply
    >>> def provider(request):
    ...     return Reply(200, (), b'''{"device_code": "GmRhmhcxhwAzkoEqiMEg", "user_code": "WDJB-MJHT",
    ...         "verification_uri": "https://example.com/device", "expires_in": 1800}''')
    >>> request = DeviceAuthorizationRequest("https://id.example.com/device", "tv")
    >>> request_device_authorization(request, provider).user_code
    'WDJB-MJHT'
    """
    return run(flows.request_device_authorization(request), http_client)


@explains_arguments
def poll_device_token(
    request: DeviceTokenRequest,
    http_client: Transport | None = None,
) -> DeviceTokenResponse:
    """Ask once whether the person has decided (RFC 8628 3.4).

    Args:
        request: Endpoint, credentials and device code.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens, or ``authorization_pending`` or ``slow_down`` in ``error_code`` as long as there are none. Nothing
        that the provider or the network does is raised: see ``is_successful``, ``error_code`` and
        ``raise_for_error()``.
    """
    return run(flows.poll_device_token(request), http_client)


@explains_arguments
def wait_for_device_token(
    request: DeviceTokenRequest,
    authorization: DeviceAuthorizationResponse,
    http_client: Transport | None = None,
) -> DeviceTokenResponse:
    """Ask again and again until the person has decided or the code expires (RFC 8628 3.5).

    The pace is the provider's: ``interval``, five seconds more after each ``slow_down``, longer pauses after failures.

    Args:
        request: Endpoint, credentials and device code.
        authorization: The answer to :func:`request_device_authorization`: pace and expiry.
        http_client: The transport; by default the thread's own client.

    Returns:
        The tokens, or the final refusal; ``expired_token`` where time ran out. Nothing that the provider or the
        network does is raised: see ``is_successful``, ``error_code`` and ``raise_for_error()``.
    """
    return run(flows.wait_for_device_token(request, authorization), http_client)


__all__ = [
    "poll_device_token",
    "request_device_authorization",
    "wait_for_device_token",
]
