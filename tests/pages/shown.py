"""What is shown on a page of results: its links, its neurons, its pictures."""

import re
from html import unescape


def links(html: str) -> list[str]:
    """Where the links of its main part lead, those within the page left out."""
    return [unescape(link) for link in re.findall(r'href="([^"#]+)"', html[html.index("<main") :])]


def neuron_links(html: str) -> list[str]:
    """The units whose cards or lines are shown, in order, each once."""
    units = [link.rsplit("/", 1)[1] for link in links(html) if "/neurons/" in link]
    return list(dict.fromkeys(units))


def pictures(html: str) -> int:
    """How many pictures are shown."""
    return html[html.index("<main") :].count("<img")
