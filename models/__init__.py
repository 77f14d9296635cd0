"""The pure core: events in, the next state and what should happen out.

Nothing here reads a clock, draws a random number or does I/O.
"""

from config.compiled import use_build

# Must run before any module of this package is imported.
use_build()
