"""The log once more, kept for ever and sealed: each customer's records under a key of their own."""
