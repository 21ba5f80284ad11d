"""Claims signed by an AWS Application Load Balancer, awaited."""

from __future__ import annotations

from .._arguments import explains_arguments
from .._core.validation.claim_checks import Claims
from .._core.validation.load_balancer import AlbDataValidatorBase
from ..settings import get_settings
from ._clients import Transport
from ._driver import run


class AlbDataValidator(AlbDataValidatorBase[Transport]):
    """Validates the header ``x-amzn-oidc-data`` of an AWS Application Load Balancer that logs people in.

    It is no JWT, and nothing else that the library validates is taken for it, nor the other way round. Keys are fetched
    from the region in the ARN of the load balancer, once each, and kept.

    >>> arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
    >>> validator = AlbDataValidator(arn, client="shop")
    """

    _api = "aio"
    _settings = staticmethod(get_settings)

    @explains_arguments
    async def validate(self, data: str) -> Claims:
        """Return the claims about the user: those of UserInfo, and what the load balancer adds.

        Args:
            data: What the header says.

        Raises:
            TokenValidationException: It is not valid: another load balancer's, expired, or changed.
            NetworkException: The key cannot be fetched right now.
        """
        return await run(self._validating(data), self._http_client)


__all__ = ["AlbDataValidator"]
