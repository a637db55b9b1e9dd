"""The HTTP edge: routes, wire schemas, problem details. It never imports torch."""
