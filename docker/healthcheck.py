"""Tell Docker whether the server in this container answers: healthcheck.py PORT [PATH]."""

import sys
from urllib.request import urlopen

port, path = (*sys.argv[1:], "/health")[:2]
try:
    urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
except OSError as error:
    sys.exit(f"port {port} does not answer: {error}")
