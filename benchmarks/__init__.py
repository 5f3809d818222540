"""How fast bigquant is beside its peers and beside what the hardware allows: `make bench`."""
