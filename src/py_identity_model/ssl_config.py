"""Which certificate authorities to trust, where earlier versions had it."""

from ._tls import get_ssl_verify as get_ssl_verify
