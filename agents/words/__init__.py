"""Customers, rules and parameters in words, for people."""
