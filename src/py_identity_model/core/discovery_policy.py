"""The policy of discovery, where earlier versions had it."""

from .._core.base.urls import is_loopback as is_loopback
from .._core.discovery.fetch import parse_discovery_url as parse_discovery_url
from .._core.discovery.metadata import DiscoveryEndpoint as DiscoveryEndpoint
from .._core.discovery.metadata import DiscoveryPolicy as DiscoveryPolicy
