"""Doctor: what is wrong with a provider, an API or an MCP server, each finding with its cause and what mends it.

Open ``examine`` first; it asks, and hands what came to ``metadata``, ``issuer``, ``keys``, ``offers``, ``api`` and
``mcp``, which only judge. ``findings`` is what comes out, ``catalogue`` has every code.
"""
