"""A login from the redirect to the validated ID token, and its end.

Open ``begin`` first, then ``complete``; ``transaction`` is what lies between both.
"""
