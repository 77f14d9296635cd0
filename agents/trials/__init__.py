"""What tries the engine out: the simulated shop, the demo, the real one, and how good scores are.

Nothing of it runs in a worker.
"""
