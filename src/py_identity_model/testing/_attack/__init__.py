"""An attack on an API under test: every token that it must refuse, each sent once. Open ``attack`` first."""
