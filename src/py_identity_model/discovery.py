"""Discovery, where earlier versions had it."""

from ._core.discovery.metadata import DiscoveryDocumentRequest as DiscoveryDocumentRequest
from ._core.discovery.metadata import DiscoveryDocumentResponse as DiscoveryDocumentResponse
from .sync._discovery import get_discovery_document as get_discovery_document
