"""Plain dataclasses and rules: the field's own words, free of torch, SQL and HTTP."""
