"""The worker's HTTP door: metrics, health, and customers as they are this moment."""
