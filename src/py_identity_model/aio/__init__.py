"""The awaitable API: every public name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .._exports import *  # noqa: F403
    from ..sync._clients import close_http_client as close_http_client
    from ._ciba import poll_ciba_token as poll_ciba_token
    from ._ciba import request_backchannel_authentication as request_backchannel_authentication
    from ._ciba import wait_for_ciba_token as wait_for_ciba_token
    from ._client_metadata import get_client_metadata_document as get_client_metadata_document
    from ._clients import AsyncHTTPClient as AsyncHTTPClient
    from ._clients import HTTPClient as HTTPClient
    from ._clients import Transport as Transport
    from ._clients import close_async_http_client as close_async_http_client
    from ._device import poll_device_token as poll_device_token
    from ._device import request_device_authorization as request_device_authorization
    from ._device import wait_for_device_token as wait_for_device_token
    from ._discovery import clear_discovery_cache as clear_discovery_cache
    from ._discovery import clear_jwks_cache as clear_jwks_cache
    from ._discovery import get_cache_counters as get_cache_counters
    from ._discovery import get_discovery_document as get_discovery_document
    from ._discovery import get_jwks as get_jwks
    from ._dpop import validate_dpop_proof as validate_dpop_proof
    from ._examine import examine as examine
    from ._explain import explain as explain
    from ._global_revocation import ClientAssertionValidator as ClientAssertionValidator
    from ._global_revocation import GlobalRevocationReceiver as GlobalRevocationReceiver
    from ._grants import refresh_token as refresh_token
    from ._grants import request_authorization_code_token as request_authorization_code_token
    from ._grants import request_client_credentials_token as request_client_credentials_token
    from ._grants import request_extension_grant_token as request_extension_grant_token
    from ._grants import request_jwt_bearer_token as request_jwt_bearer_token
    from ._id_jag import IdJagValidator as IdJagValidator
    from ._identity_tokens import fetch_identity_token as fetch_identity_token
    from ._introspection import TokenIntrospector as TokenIntrospector
    from ._introspection import introspect_token as introspect_token
    from ._jarm import process_jarm_response as process_jarm_response
    from ._load_balancer import AlbDataValidator as AlbDataValidator
    from ._login import begin_login as begin_login
    from ._login import complete_login as complete_login
    from ._login import refresh_login as refresh_login
    from ._login_client import begin_ciba as begin_ciba
    from ._login_client import begin_device_login as begin_device_login
    from ._login_client import begin_logout as begin_logout
    from ._login_client import complete_ciba as complete_ciba
    from ._login_client import complete_device_login as complete_device_login
    from ._login_client import get_login_userinfo as get_login_userinfo
    from ._logout import BackChannelLogoutReceiver as BackChannelLogoutReceiver
    from ._logout import validate_logout_token as validate_logout_token
    from ._oauth_client import OAuthClient as OAuthClient
    from ._par import push_authorization_request as push_authorization_request
    from ._protected_resource import authenticate_token as authenticate_token
    from ._protected_resource import check_sender as check_sender
    from ._protected_resource import get_protected_resource_metadata as get_protected_resource_metadata
    from ._registration import delete_client as delete_client
    from ._registration import read_client as read_client
    from ._registration import register_client as register_client
    from ._registration import update_client as update_client
    from ._resource_server import ResourceServer as ResourceServer
    from ._revocation import revoke_token as revoke_token
    from ._security_events import SecurityEventReceiver as SecurityEventReceiver
    from ._token_exchange import exchange_token as exchange_token
    from ._userinfo import get_external_claims as get_external_claims
    from ._userinfo import get_userinfo as get_userinfo
    from ._validation import Tokens as Tokens
    from ._validation import TokenValidator as TokenValidator
    from ._validation import validate_id_token as validate_id_token
    from ._validation import validate_token as validate_token
    from ._web_login import Session as Session
    from ._web_login import WebLogin as WebLogin
    from ._webfinger import discover_issuer as discover_issuer

if not TYPE_CHECKING:  # a type checker would take any name for there
    __all__, __getattr__, __dir__ = lazy(globals())
