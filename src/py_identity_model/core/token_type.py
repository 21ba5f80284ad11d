"""The token types of RFC 8693 3, where earlier versions had them: the members of :class:`ExchangeTokenType`."""

from .._core.client.token_exchange import ExchangeTokenType

ACCESS_TOKEN = ExchangeTokenType.ACCESS_TOKEN.value
REFRESH_TOKEN = ExchangeTokenType.REFRESH_TOKEN.value
ID_TOKEN = ExchangeTokenType.ID_TOKEN.value
SAML1 = ExchangeTokenType.SAML1.value
SAML2 = ExchangeTokenType.SAML2.value
JWT = ExchangeTokenType.JWT.value
