"""Reports on dissections and comparisons: their content, as one HTML file that needs nothing else, and as JSON."""
