"""What should happen: triggers, each with the receipt of why."""
