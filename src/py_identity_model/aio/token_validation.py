"""Token validation and its cached calls, where earlier versions had them."""

from .._core.validation.config import TokenValidationConfig as TokenValidationConfig
from ._discovery import _get_disco_response as _get_disco_response
from ._discovery import _get_jwks_response as _get_jwks_response
from ._discovery import clear_discovery_cache as clear_discovery_cache
from ._discovery import clear_jwks_cache as clear_jwks_cache
from ._validation import validate_token as validate_token
