"""The managed HTTP client, where earlier versions had it."""

from ._clients import HTTPClient as HTTPClient
from ._clients import close_http_client as close_http_client
from ._clients import get_http_client as get_http_client
