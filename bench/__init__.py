"""How fast the suite is, as ratios: `make bench`, or `python -m bench TOPIC ... --out FILE`."""
