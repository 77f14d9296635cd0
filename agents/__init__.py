"""The programs: the Faust agents, the command line and the web server."""

import os

# Before numpy is imported. The matrices here have thirty rows at most: linear algebra threads would
# wait for each other longer than they compute, on cores that others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
