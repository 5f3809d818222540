"""``python -m bigquant`` is the same as the console script ``bigquant``."""

import sys

from bigquant.cli import main

if __name__ == "__main__":
    sys.exit(main())
