"""The native engine of py-identity-model: JWS verification on AWS-LC."""

from py_identity_model_native._native import (
    ALGORITHMS,
    MULTIBUFFER,
    Key,
    Opener,
    __version__,
    open_many,
    peek_issuer,
)

__all__ = ["ALGORITHMS", "MULTIBUFFER", "Key", "Opener", "__version__", "open_many", "peek_issuer"]
