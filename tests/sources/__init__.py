"""Where files come from: readers of sources, the cache, and whole jobs on what was fetched."""
