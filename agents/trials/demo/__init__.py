"""The demonstration: a simulated shop, and what is needed to watch it live."""
