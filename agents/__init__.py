"""The programs: the Faust agents, and the doors through which people and monitoring come in."""

import os

# Before anything imports numpy. The matrices here have thirty rows at most: threads of the linear
# algebra would wait for each other longer than they compute, on cores that others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
