"""Sessions without a store: all of one is in a cookie, sealed. What does not fit is refused, never cut.

Such a session cannot be ended by anybody but its browser, and holds no tokens: a refresh token that is exchanged for a
new one must not lie in several browsers' requests at once.
"""

from __future__ import annotations

from ...exceptions import ConfigurationException
from ..base.base64url import b64url_decode, b64url_encode
from ..base.flow import Flow, now
from ..base.store import digest_of
from .cookies import MAX_COOKIE, Cookies
from .index import Entry, Whose
from .messages import Headers, WebRequest
from .records import RECORDS, SESSION, TOPIC, Held, Lifetimes, Record, SessionInfo
from .sealing import CookieSealer


class SealedSessions:
    """Sessions in cookies.

    Args:
        sealer: Seals them.
        cookies: How cookies are set.
        lifetimes: How long sessions live.
    """

    shared: bool = False

    def __init__(self, sealer: CookieSealer, cookies: Cookies, lifetimes: Lifetimes) -> None:
        self._sealer, self._cookies = sealer, cookies
        self.lifetimes: Lifetimes = lifetimes
        self._name = cookies.named(SESSION)

    @staticmethod
    def handle(session_id: str) -> str:
        """Return the name of a session: a digest, that opens nothing."""
        return digest_of("session", session_id)

    def create(self, record: Record, issued_at: float, tokens: str) -> Flow[tuple[Held, list[Entry]]]:
        """Begin a session.

        Args:
            record: What it remembers.
            issued_at: When its ID token was issued; nobody else ends sessions here.
            tokens: Where its tokens are; there are none.

        Raises:
            ConfigurationException: It does not fit into a cookie; ``session_too_large``.
        """
        yield from ()
        return Held(record.tokens, record, record.seen_at, self._cookie(record, record.seen_at)), []

    def _cookie(self, record: Record, wall: float) -> Headers:
        value = b64url_encode(self._sealer.seal(TOPIC, self._name, RECORDS.encoded(record)))
        header = self._cookies.setting(self._name, value, max(1.0, record.ends_in(wall, self.lifetimes)))
        size = len(header[1])
        if size > MAX_COOKIE:
            raise ConfigurationException(
                f"The session needs a cookie of {size} bytes, and browsers keep {MAX_COOKIE}",
                code="session_too_large",
                claim="claims",
                expected=f"at most {MAX_COOKIE} bytes",
                actual=str(size),
                hint="give WebLogin a store, or keep fewer claims: claims=['name']",
            )
        return (header,)

    def find(self, request: WebRequest) -> Flow[Held | None]:
        """Return the session of a request; None if it has none."""
        record, wall = self._read(request.cookie(self._name)), (yield from now()).wall
        if record is None or record.ends_in(wall, self.lifetimes) <= 0:
            return None
        if wall - record.seen_at < self.lifetimes.noted_every:
            return Held(record.tokens, record, wall)
        record = record.seen(wall)
        return Held(record.tokens, record, wall, self._cookie(record, wall))

    def _read(self, value: str | None) -> Record | None:
        if not value or len(value) > MAX_COOKIE:
            return None
        try:
            return RECORDS.decoded(self._sealer.open(TOPIC, self._name, b64url_decode(value)))
        except ValueError:  # no base64url
            return None

    def cleared(self, request: WebRequest) -> Headers:
        """Return the headers that take away what the browser has of a session."""
        return (self._cookies.clearing(self._name),) if any(n == self._name for n, _ in request.cookies()) else ()

    def outlived(self, request: WebRequest) -> Headers:
        """Return the headers that take away a cookie that has no session any more."""
        return self.cleared(request)

    def replace(self, held: Held) -> Flow[None]:
        """Do nothing: the new cookie takes the place of the old one."""
        yield from ()

    def end(self, held: Held) -> Flow[None]:
        """Do nothing: the browser forgets it."""
        yield from ()

    def end_entry(self, entry: Entry) -> Flow[bool]:
        """Tell that nothing was ended: there is no list."""
        yield from ()
        return False

    def end_all(self, whose: Whose, before: float) -> Flow[list[Entry]]:
        """Refuse: nobody knows which browsers have sessions.

        Raises:
            ConfigurationException: Always; ``store_missing``.
        """
        yield from ()
        raise store_missing("ending the sessions of a user")

    def listed(self, whose: Whose) -> Flow[list[SessionInfo]]:
        """Refuse: nobody knows which browsers have sessions.

        Raises:
            ConfigurationException: Always; ``store_missing``.
        """
        yield from ()
        raise store_missing("a list of sessions")


def store_missing(what: str) -> ConfigurationException:
    """Return the exception for what sessions in cookies cannot do."""
    return ConfigurationException(
        f"Sessions are kept in cookies, so there is no {what}",
        code="store_missing",
        claim="store",
        expected="WebLogin(..., store=...)",
    )


__all__ = ["SealedSessions", "store_missing"]
