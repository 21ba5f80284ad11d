"""Reading keys, and finding the one of a token by hand, where earlier versions had it."""

from .._core.jose.jwk import jwks_from_dict as jwks_from_dict
from .._core.jose.key_lookup import extract_jwt_header_fields as extract_jwt_header_fields
from .._core.jose.key_lookup import extract_kid_from_jwt as extract_kid_from_jwt
from .._core.jose.key_lookup import find_key_by_kid as find_key_by_kid
