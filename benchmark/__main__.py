"""`python -m benchmark` is `prunebench`."""

from benchmark.cli import main

main()
