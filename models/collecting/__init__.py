"""What client libraries send to the collector, turned into events as the raw topics take them."""
