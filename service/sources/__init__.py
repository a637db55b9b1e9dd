"""Where files come from besides the folders of this machine: object stores, web servers, a model registry.

`uris` says what may be named, `fetch` brings the content into a `SourceCache`. Only a worker's fetching process does.
"""
