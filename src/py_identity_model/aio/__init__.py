"""The awaitable API."""
