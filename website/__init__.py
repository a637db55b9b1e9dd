"""The documentation as a website: `python -m website OUT` collects its pages and has Sphinx build them."""
