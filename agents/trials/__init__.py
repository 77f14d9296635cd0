"""Programs that try the engine: the simulated shop, the two demonstrations, and the evaluation of
scores.

None of this runs in a worker.
"""
