"""`python -m agents.cli`, if the `keepstream` script is not installed."""

from agents.cli import main

main()
