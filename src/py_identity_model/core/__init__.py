"""The pure half of the library: no HTTP client, no event loop, no environment, no clock."""
