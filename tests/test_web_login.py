"""Logging people in and out, by the rules: each test carries the words of one, in both APIs, on a frozen clock."""

from __future__ import annotations

from typing import Any

import pytest

from login_world import LoginWorld


@pytest.fixture(params=["sync", "asyncio", "trio"])
def world(request: pytest.FixtureRequest, clock: Any) -> LoginWorld:
    """A provider, an application and browsers, in each API in turn."""
    return LoginWorld(request.param, clock)


def test_a_login_leads_to_a_session(world: LoginWorld) -> None:
    """From the protected page to the provider, back, and into a session of the user."""
    browser = world.browser()
    sent = browser.visit("/account")
    assert (sent.status, sent.location) == (303, "/login?next=%2Faccount")
    done = browser.log_in(sent.location)
    assert (done.status, done.location) == (303, "/account")
    session = browser.visit("/account")
    assert (session.issuer, session.subject) == (world.provider.issuer, "alice")
    assert world.run(session.token).token_type == "Bearer"
    assert browser.log_out().location.startswith(world.provider.issuer)
