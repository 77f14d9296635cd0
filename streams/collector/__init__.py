"""The collector's side of Kafka: what was taken is written before anybody is told so."""
