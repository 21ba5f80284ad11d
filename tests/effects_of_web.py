"""For values of the web login and each of their parameters: what they come to, and another value."""

from __future__ import annotations

from typing import Any

import py_identity_model as p
from effects import Case

FORM = ("content-type", "application/x-www-form-urlencoded")
HEADERS = (FORM, ("cookie", "a=1; b=2"), ("accept", "text/html"), ("origin", "https://app.example.com"))
REQUEST = p.WebRequest("POST", "/login", "next=/a", HEADERS, b"x=1")


def read(door: Any, request: p.WebRequest) -> Any:
    """Return all that is read of a request."""
    facts = (request.is_safe, request.shows_page, request.is_navigation, request.is_framed, repr(request))
    return facts, request.cookies(), request.parameters(), request.form(), request.values("accept")


WEB: dict[str, Case] = {
    "WebRequest": Case(
        {"method": "POST", "path": "/login", "headers": (FORM,)},
        {
            "method": "GET",
            "path": "/logout",
            "query": "a=b",
            "headers": HEADERS,
            "body": b"a=b",
            "fields": (("a", "b"),),
        },
        read,
    ),
    "WebRequest.cookie": Case({"name": "a"}, {"name": "b"}, of=lambda door: REQUEST),
    "WebRequest.header": Case({"name": "accept"}, {"name": "origin"}, of=lambda door: REQUEST),
    "WebRequest.values": Case({"name": "accept"}, {"name": "origin"}, of=lambda door: REQUEST),
    "WebAnswer.adding": Case(
        {"headers": ()},
        {"headers": [("a", "b")]},
        lambda door, answer: answer.headers,
        lambda door: p.WebAnswer(200),
    ),
    "WebLoginPaths": Case(
        {},
        {
            "login": "/in",
            "callback": "/back",
            "logout": "/out",
            "logged_out": "/gone",
            "backchannel_logout": None,
            "frontchannel_logout": None,
            "me": None,
            "session_key": "/key",
        },
        lambda door, paths: paths.listed(),
    ),
}
