"""The pure core: events in, the next state and what should happen out.

Nothing here reads a clock, draws a random number or does I/O.
"""
