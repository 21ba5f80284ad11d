"""Why a token is refused: every check with what was expected and what came, and the one change that would help.

The validator answers with the first thing that is wrong; here all of it is told. :mod:`.walk` is the flow, and the
module to open first; :mod:`.causes` knows what is usually the matter; :mod:`.explanation` is what comes out.
"""
