"""Concept sets: parsing, linting and the built-in BI-RADS set."""
