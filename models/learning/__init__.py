"""Models of all customers together, learnt from check-ins and published as versioned snapshots."""
