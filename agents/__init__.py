"""The programs: the Faust agents, the command line and the web server."""

import os

# Set before numpy is imported. Matrices here have at most thirty rows: linear algebra threads would
# spend longer waiting for each other than computing, on cores that others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
