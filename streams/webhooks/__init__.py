"""Decisions over HTTP: one endpoint, one consumer group, and what it has yet to take."""
