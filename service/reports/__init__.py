"""Documents and figures made from analysis results."""
