"""A whole dissection from specification to stored result; only workers and the command line import it."""
