"""From a token to its claims, or to one reason why not.

Open ``validator`` first: the compiled policy and the warm path; then ``claim_checks``, the table of checks.
"""
