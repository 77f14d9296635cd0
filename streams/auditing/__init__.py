"""Compares a running deployment with what its own log says it must be."""
