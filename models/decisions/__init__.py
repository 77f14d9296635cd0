"""What should happen: triggers and actions, each with its reasons."""
