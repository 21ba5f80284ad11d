"""The embedded provider for developers' machines: several issuers, a login page, and control over HTTP."""
