"""The managed HTTP client, where earlier versions had it."""

from ._clients import AsyncHTTPClient as AsyncHTTPClient
from ._clients import HTTPClient as HTTPClient
from ._clients import close_async_http_client as close_async_http_client
from ._clients import get_async_http_client as get_async_http_client
