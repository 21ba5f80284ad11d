"""The few pages that a login shows of its own: small, without script, without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .messages import NOT_KEPT, Headers, WebAnswer

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.0625rem/1.5 system-ui,sans-serif;margin:0;padding:2rem 1.25rem;background:Canvas;color:CanvasText}"
    "main{max-width:32rem;margin:0 auto;overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p{margin:0 0 1rem}"
    "ul{list-style:none;margin:0;padding:0}li{margin:0 0 .75rem}"
    "a,button{font:inherit}"
    "a.go,button{display:inline-block;box-sizing:border-box;min-height:2.75rem;padding:.5rem 1.1rem;"
    "border:1px solid transparent;"  # seen where the system has colours of its own
    "border-radius:.375rem;background:#0b57d0;color:#fff;text-decoration:none;cursor:pointer}"
    "a.go:focus-visible,button:focus-visible{outline:3px solid CanvasText;outline-offset:2px}"
    "li a.go{display:block}small{opacity:.85}"
    "@media(prefers-color-scheme:dark){a.go,button{background:#a8c7fa;color:#0b2a5b}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_FIXED: Headers = (
    ("content-type", "text/html; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),  # with less, the page's own form would come from nowhere
    ("cross-origin-opener-policy", "same-origin"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page leads: the text, and the path."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Form:
    """What a page posts: the text of the button, where to, and hidden fields."""

    text: str
    action: str
    fields: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says.

    Attributes:
        title: Its title and heading.
        text: Sentences, one paragraph each.
        links: Where it leads; several are listed.
        form: What it posts.
        note: A code for those who are asked for help.
    """

    title: str
    text: Sequence[str] = ()
    links: Sequence[Link] = ()
    form: Form | None = None
    note: str | None = None


def page_answer(
    status: int,
    page: Page,
    headers: Iterable[tuple[str, str]] = (),
    *,
    posts_to: Sequence[str] = ("'self'",),
    framed: bool = False,
) -> WebAnswer:
    """Return a page as an answer.

    Args:
        status: The HTTP status.
        page: What it says.
        headers: More headers.
        posts_to: Sources that its form may lead to, by redirects too (CSP 3 6.4.2).
        framed: Whether pages of this origin may show it in a frame.
    """
    leads_to = "'none'" if page.form is None else " ".join(posts_to)
    frames, older = ("'self'", "SAMEORIGIN") if framed else ("'none'", "DENY")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
        f"frame-ancestors {frames}; "
        f"form-action {leads_to}"
    )
    fixed = (*_FIXED, ("x-frame-options", older), ("content-security-policy", policy), *NOT_KEPT)
    return WebAnswer(status, (*fixed, *headers), render(page).encode())


def render(page: Page) -> str:
    """Return the HTML of a page.

    >>> "&lt;script&gt;" in render(Page("<script>"))
    True
    """
    title = escape(page.title)
    parts = [f"<h1>{title}</h1>", *(f"<p>{escape(line)}</p>" for line in page.text)]
    parts += _links(page.links)
    if page.form is not None:
        parts.append(_form(page.form))
    if page.note is not None:
        parts.append(f"<p><small>Code: {escape(page.note)}</small></p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    )


def _links(links: Sequence[Link]) -> list[str]:
    made = [f'<a class="go" href="{escape(link.path)}">{escape(link.text)}</a>' for link in links]
    if len(made) < 2:
        return [f"<p>{each}</p>" for each in made]
    return [f"<ul>{''.join(f'<li>{each}</li>' for each in made)}</ul>"]


def _form(form: Form) -> str:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in form.fields
    )
    return f'<form method="post" action="{escape(form.action)}">{fields}<button>{escape(form.text)}</button></form>'


# ---------------------------------------------------------------------------------------------------------------------
# What is said


def restart(again: str) -> Page:
    """Return the page for a login that cannot go on: too old, used, begun elsewhere."""
    text = (
        "This login was finished already, took too long, or was begun in another browser.",
        "Nothing is wrong with your account. Please begin again.",
    )
    return Page("Please log in again", text, (Link("Log in", again),))


def cancelled(again: str, home: str) -> Page:
    """Return the page for a user who said no at the provider."""
    return Page("Login was cancelled", ("You are not logged in.",), (Link("Log in", again), Link("Home page", home)))


def refusal_page(again: str, code: str) -> Page:
    """Return the page for a login that was refused."""
    text = ("We could not log you in.", "Please try again; if it happens once more, ask for help and name this code.")
    return Page("Login did not work", text, (Link("Try again", again),), note=code)


def unavailable(again: str) -> Page:
    """Return the page for a login that cannot be tried right now."""
    text = ("The login service cannot be reached at the moment.", "Please try again in a minute.")
    return Page("Login is not available", text, (Link("Try again", again),))


def chooser(choices: Sequence[Link]) -> Page:
    """Return the page on which the user chooses a provider."""
    return Page("How do you want to log in?", (), choices)


def confirm_logout(action: str, fields: Sequence[tuple[str, str]]) -> Page:
    """Return the page that asks before it logs out: a link of another site must not."""
    return Page("Log out", ("Do you want to log out?",), form=Form("Log out", action, fields))


def logout_at_provider(action: str, fields: Sequence[tuple[str, str]]) -> Page:
    """Return the page that posts the logout to the provider."""
    text = ("You are logged out here.", "Continue to log out at the login service as well.")
    return Page("Logged out", text, form=Form("Continue", action, fields))


def logged_out(home: str, *, everywhere: bool = True) -> Page:
    """Return the page after a logout.

    Args:
        home: The home page.
        everywhere: Whether the provider was told, too.
    """
    more = () if everywhere else ("The login service could not be told: you may still be logged in there.",)
    return Page("Logged out", ("You are logged out of this application.", *more), (Link("Home page", home),))


def needs_login(again: str, *, stronger: bool = False) -> Page:
    """Return the page for a form that was sent without a session, or with one that is not enough."""
    why = "You have to confirm who you are" if stronger else "You are not logged in any more"
    return Page("Please log in", (f"{why}. What you sent was not saved.",), (Link("Log in", again),))


def silent(*, known: bool) -> Page:
    """Return the page that a hidden frame ends with: the page around it asks who is logged in."""
    return Page("Logged in" if known else "Not logged in")


def embedded(address: str) -> Page:
    """Return the page for a login in a frame of another site, where browsers keep no cookies."""
    text = ("Browsers do not let people log in inside another site. Open this application in a window of its own.",)
    return Page("Please open a window", text, (Link("Open", address),))


def forged(home: str) -> Page:
    """Return the page for a request that did not come from our own pages."""
    text = ("This request did not come from a page of this application, or the page was too old.",)
    return Page("Please try again", text, (Link("Home page", home),))


__all__ = [
    "Form",
    "Link",
    "Page",
    "cancelled",
    "chooser",
    "confirm_logout",
    "embedded",
    "forged",
    "logged_out",
    "logout_at_provider",
    "needs_login",
    "page_answer",
    "refusal_page",
    "render",
    "restart",
    "silent",
    "unavailable",
]
