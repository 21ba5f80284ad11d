"""Token validation, where earlier versions had it."""

from ._core.validation.config import TokenValidationConfig as TokenValidationConfig
from .sync._validation import validate_token as validate_token
