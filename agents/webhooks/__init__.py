"""`keepstream deliver`: decisions to endpoints over HTTP."""
