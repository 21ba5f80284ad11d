"""The pure core: every rule and every flow, without a client, a loop, an environment or a clock.

Ten packages by subject, each importing only from those before it: base, cache, jose, discovery, validation, binding,
client, resource, registration, login. Open ``base/flow`` first.
"""
