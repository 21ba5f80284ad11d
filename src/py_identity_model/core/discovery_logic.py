"""What reads a discovery response, where earlier versions had it."""

from .._core.discovery.fetch import process_discovery_response as process_discovery_response
