"""The grants of the token endpoint, where earlier versions had them."""

from .._core.client.grants import AuthorizationCodeTokenRequest as AuthorizationCodeTokenRequest
from .._core.client.grants import AuthorizationCodeTokenResponse as AuthorizationCodeTokenResponse
from .._core.client.grants import ClientCredentialsTokenRequest as ClientCredentialsTokenRequest
from .._core.client.grants import ClientCredentialsTokenResponse as ClientCredentialsTokenResponse
from .._core.client.grants import RefreshTokenRequest as RefreshTokenRequest
from .._core.client.grants import RefreshTokenResponse as RefreshTokenResponse
from ._grants import refresh_token as refresh_token
from ._grants import request_authorization_code_token as request_authorization_code_token
from ._grants import request_client_credentials_token as request_client_credentials_token
