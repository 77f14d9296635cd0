"""One customer as a fold over their events.

Each part of the state is a module of its own. Parts keep latest times and sums rather than
sequences, so that shuffled, late and repeated events give the same state as an ordered stream.
"""
