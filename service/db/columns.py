"""Values for the columns of a row."""

ColumnValues = dict[str, object]
"""What columns are set to, by their names: any type that the column takes, or an expression of SQL."""
