"""`python -m agents.cli`, for where the `keepstream` script is not installed."""

from agents.cli import main

main()
