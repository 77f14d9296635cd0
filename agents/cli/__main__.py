"""`python -m agents.cli`, for when the `keepstream` script is not installed."""

from agents.cli import main

main()
