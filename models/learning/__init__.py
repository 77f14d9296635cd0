"""What customers share: learnt from their check-ins, published as versioned snapshots."""
