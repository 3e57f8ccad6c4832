"""Deterministic simulation of the whole daemon: README.md says what is real in it and what is not."""
