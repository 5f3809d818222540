"""The errors that people see: one line with the value, the limit and the next step."""


class BigquantError(Exception):
    """Work that was under way failed. The command line exits with 1."""


class InputError(BigquantError, ValueError):
    """An argument or an input that cannot be used, found before work starts.

    The command line exits with 2.
    """


class ClusterError(InputError):
    """A cluster that cannot do the job; the arguments are what is wrong with it, a line each."""

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class ClusterLost(BigquantError):
    """A cluster that cannot go on: whatever else is to be done will not be done on it either."""


class DamagedError(BigquantError):
    """The pixels of an input cannot be decoded, which shows only when they are read.

    The command line exits with 2: an unreadable input.
    """


class PaletteWarning(UserWarning):
    """The palette holds fewer colours than were asked for."""


def one_line(error: Exception) -> str:
    """Name an error of a library in one line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
