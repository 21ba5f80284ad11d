"""The cache that decides: freshness, single flight, stale answers, cooldowns. It never sleeps and never fetches.

Open ``single_flight`` first; ``entry`` is one remembered value, ``freshness`` how long it may be used.
"""
