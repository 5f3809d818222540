"""``python -m bigquant`` is the same as the console script ``bigquant``."""

from bigquant.cli import run

if __name__ == "__main__":
    run()
