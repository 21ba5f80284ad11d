"""Who presents a token: DPoP, client certificates, replay of proofs, inbound requests, challenges.

Open ``dpop_server`` first for an API, ``dpop_client`` for a client.
"""
