"""Dissection of mammography networks: the domain, free of HTTP and of queues."""
