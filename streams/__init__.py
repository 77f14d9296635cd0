"""Everything that talks to Kafka or Redis."""
