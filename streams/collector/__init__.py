"""The collector's side of Kafka: events are written before their senders get an answer."""
