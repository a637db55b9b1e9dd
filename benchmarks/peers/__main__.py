"""`python -m benchmarks.peers IMAGES SERIES ...`."""

import sys

from benchmarks.peers.tables import print_tables

if __name__ == "__main__":
    print_tables(int(sys.argv[1]), [int(number) for number in sys.argv[2:]])
