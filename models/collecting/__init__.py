"""Turns what client libraries and vendors send to the collector into events for the raw topics."""
