"""The demonstration: a simulated shop and what it takes to watch it live."""
