"""`keepstream deliver`: delivers decisions to endpoints over HTTP."""
