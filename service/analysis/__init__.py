"""Figures computed from a stored dissection, free of torch."""
