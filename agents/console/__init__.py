"""`keepstream console`: what happens and why, as pages for people."""
