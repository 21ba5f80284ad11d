"""Key sets, where earlier versions had them."""

from ._core.jose.jwk import JsonWebAlgorithmsKeyTypes as JsonWebAlgorithmsKeyTypes
from ._core.jose.jwk import JsonWebKey as JsonWebKey
from ._core.jose.jwk import JsonWebKeyParameterNames as JsonWebKeyParameterNames
from ._core.jose.jwk import jwks_from_dict as jwks_from_dict
from ._core.jose.jwks import JwksRequest as JwksRequest
from ._core.jose.jwks import JwksResponse as JwksResponse
from .sync._discovery import get_jwks as get_jwks
