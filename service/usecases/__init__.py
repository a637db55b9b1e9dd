"""Verbs that both edges share, free of torch."""
