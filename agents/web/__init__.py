"""The worker's HTTP server: metrics, health, and live customer profiles."""
