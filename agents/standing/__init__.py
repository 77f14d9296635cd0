"""`keepstream up`: a deployment that keeps running on one machine."""
