"""The benchmark: every candidate takes turns in one process, and only ratios of one run are compared."""
