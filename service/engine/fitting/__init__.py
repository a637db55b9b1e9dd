"""Fit: dissectors from reports, and targets from phantoms."""
