"""Cookies that only this origin can set, and nothing but this origin can read (RFC 6265bis 4.1.3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..base.urls import origin, parse_url
from .messages import WebRequest

#: Octets of a cookie, name and attributes included, that browsers keep at least (RFC 6265 6.1).
MAX_COOKIE = 4096
_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}\Z")


@dataclass(frozen=True, slots=True)
class Cookies:
    """How this application's cookies are named and set.

    Attributes:
        secure: Whether they go over https only, under names with ``__Host-``. Plain http on the developer's own machine
            cannot have that: browsers differ in whether they take such cookies there.
        suffix: Ends each name, so that applications under one host do not take each other's cookies.
    """

    secure: bool
    suffix: str = ""

    def named(self, kind: str) -> str:
        """Return the name of a cookie."""
        return f"{'__Host-' if self.secure else ''}{kind}{self.suffix}"

    def setting(
        self, name: str, value: str, max_age: float | None = None, *, same_site: str = "Lax"
    ) -> tuple[str, str]:
        """Return the header that sets a cookie.

        Args:
            name: What :meth:`named` returned.
            value: ASCII without separators.
            max_age: Seconds that it is kept; None until the browser is closed.
            same_site: ``Lax``, ``Strict``, or ``None`` where it must come along with a form of another site.
        """
        age = "" if max_age is None else f"; Max-Age={max(0, int(max_age))}"
        # A cookie for requests of other sites has to be Secure: without https there is none.
        site = same_site if self.secure or same_site != "None" else "Lax"
        secure = "; Secure" if self.secure else ""
        return "set-cookie", f"{name}={value}; Path=/{age}; HttpOnly{secure}; SameSite={site}"

    def clearing(self, name: str) -> tuple[str, str]:
        """Return the header that takes a cookie away."""
        return self.setting(name, "", 0)

    def arrived(self, request: WebRequest, kind: str) -> list[tuple[str, str]]:
        """Return the cookies whose names begin with that of *kind* and a dash, each name once, in order of names."""
        head = self.named(kind) + "-"
        return sorted(dict(pair for pair in request.cookies() if pair[0].startswith(head)).items())


def cookies_for(base_url: str) -> Cookies:
    """Return how the cookies of the application at *base_url* are named and set."""
    parts = parse_url(base_url, "base_url", require_https=False)
    slug = re.sub(r"[^a-z0-9]+", "-", parts.path.lower()).strip("-")
    return Cookies(origin(base_url).startswith("https:"), f"-{slug}" if slug else "")


def is_cookie_name(name: object) -> bool:
    """Tell whether *name* can be the name of a cookie, as the application gives it."""
    return isinstance(name, str) and _NAME.match(name) is not None


__all__ = ["MAX_COOKIE", "Cookies", "cookies_for", "is_cookie_name"]
