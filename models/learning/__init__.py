"""Models of all customers together, learnt at check-ins and published as versioned snapshots."""
