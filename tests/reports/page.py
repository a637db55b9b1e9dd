"""An HTML file as a test reads it: balanced tags, attributes, tables, text."""

from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Parses strictly: raises AssertionError where a tag closes another than the open one."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.style = ""
        self._open: list[str] = []
        self._section = ""
        self._cell: list[str] | None = None
        self.feed(html)
        self.close()
        assert self._open == [], self._open

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        if tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        if tag in {"td", "th"}:
            self._cell = []
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag
        if tag in {"td", "th"} and self._cell is not None:
            self.rows[self._section][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
            return
        self.text += data
        if self._cell is not None:
            self._cell.append(data)
