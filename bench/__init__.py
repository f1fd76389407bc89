"""The benchmarks behind every speed that the README claims: `python -m bench`, or `make bench`."""
