"""Evaluates the scores on real purchases, beside the alternatives."""
