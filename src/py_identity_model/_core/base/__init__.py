"""What everything else stands on: flows and their effects, URLs, strict JSON, secrets, response values.

A module here knows nothing of tokens or providers. Open ``flow`` first, then ``transport`` and ``exchanges``.
"""
