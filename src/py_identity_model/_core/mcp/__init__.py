"""MCP: how a client finds out where a server's tokens come from, and gets them (revision 2026-07-28, Authorization)."""
