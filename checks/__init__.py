"""Checks of the repository itself, for those who change it."""
