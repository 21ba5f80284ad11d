"""MCP: how a client finds out where a server's tokens come from, and gets them (revision 2026-07-28, Authorization).

Open ``server_tokens`` first; ``discovery`` leads from a refusal to the authorization server, ``calls`` is one request.
"""
