"""The process that draws a PDF: `python -m service.reports.pdf_child MEMORY COMPUTING_S`, HTML in, PDF out."""

import resource
import sys

from service.reports.pdf import CANNOT_DRAW


def main() -> None:
    """Draw the page that comes on the standard input."""
    memory, computing_s = (int(argument) for argument in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (computing_s, computing_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError):  # a library of the system that is missing is an OSError
        sys.exit(CANNOT_DRAW)

    page = sys.stdin.buffer.read().decode()
    embedded_only = URLFetcher(allowed_protocols=("data",), allow_redirects=False)
    sys.stdout.buffer.write(HTML(string=page, url_fetcher=embedded_only).write_pdf())


if __name__ == "__main__":
    main()
