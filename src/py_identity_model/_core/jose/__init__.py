"""Keys, algorithms, signatures and encryption (RFC 7515 to 7518).

Open ``jws`` first; ``algorithms`` says which algorithm fits which key, ``jwks`` reads key sets.
"""
