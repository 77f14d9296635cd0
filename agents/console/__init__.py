"""`keepstream console`: decisions, customers and the pipeline, as pages for people."""
