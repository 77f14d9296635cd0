"""A copy of the log, kept for ever, with each customer's records sealed under their own key."""
