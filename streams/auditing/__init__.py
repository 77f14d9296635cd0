"""A running deployment, compared with what its own log says it must be."""
