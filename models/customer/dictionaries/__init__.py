"""Dictionaries of packed states, by the part and the version that they were made for."""
