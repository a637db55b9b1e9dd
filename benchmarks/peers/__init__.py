"""Published methods and ours on the same units of phantoms: right names, wrong names, simulation, the generator's word.

`python -m benchmarks.peers IMAGES SERIES ...` prints the tables of docs/peers.md.
"""

from benchmarks.peers.tables import print_tables, run

__all__ = ["print_tables", "run"]
