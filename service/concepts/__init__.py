"""Concept sets: parsing and the built-in BI-RADS set."""
