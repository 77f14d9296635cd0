"""One customer as a fold over their events.

Each part of the state is a module of its own: a frozen struct, and functions that return the next
one. Parts keep latest times and sums rather than sequences, so that shuffled, late and repeated
events end in the state of an orderly stream.
"""
