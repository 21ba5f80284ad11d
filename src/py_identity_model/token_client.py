"""The client credentials grant, where earlier versions had it."""

from ._core.client.grants import ClientCredentialsTokenRequest as ClientCredentialsTokenRequest
from ._core.client.grants import ClientCredentialsTokenResponse as ClientCredentialsTokenResponse
from .sync._grants import request_client_credentials_token as request_client_credentials_token
