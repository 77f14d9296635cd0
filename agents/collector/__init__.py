"""The collector: HTTP in Segment's format in, records of the raw topics out."""
