"""A check before any job: every image of a probe set decoded once, and what is to be known of it said by its row."""
