"""The JSON of requests and answers, a module for each noun, as `api.routes` has its routes."""
