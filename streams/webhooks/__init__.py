"""Decisions over HTTP: each endpoint has a consumer group and a queue of its own."""
