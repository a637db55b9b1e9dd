"""Reports on dissections, comparisons and audits: their content, as one HTML file that needs nothing else, and JSON."""
