"""Reports as PDF: our own HTML, drawn by WeasyPrint in a process of its own.

It is the page as a browser prints it. The process has limits, inherits nothing, and fetches nothing.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import BoundedSemaphore

from service.errors import Conflict, Overloaded, TooLarge

TIME_S = 120
"""How long a report may take."""

MEMORY_BYTES = 4 << 30

CANNOT_DRAW = 3
"""The exit status where WeasyPrint, or a library of the system below it, cannot be loaded."""

_PATIENCE_S = 30
_drawings = BoundedSemaphore(2)
"""So many at once: each may take MEMORY_BYTES."""

_CODE = Path(__file__).parents[2]
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "HOME", "LD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH")
_REMEDY = "Ask for HTML and print it, or have WeasyPrint installed: docs/operations.md says how."


def draw_pdf(html: str) -> bytes:
    """The page as PDF.

    Raises Conflict where WeasyPrint is not installed, TooLarge for a page beyond the limits, and Overloaded where too
    many others are drawn.
    """
    if find_spec("weasyprint") is None:
        raise _not_installed()
    if not _drawings.acquire(timeout=_PATIENCE_S):
        raise Overloaded("Others are being drawn as PDF.", remedy="Retry in a minute, or ask for HTML and print it.")

    try:
        return _draw(html)
    finally:
        _drawings.release()


def _draw(html: str) -> bytes:
    command = [sys.executable, "-P", "-m", "service.reports.pdf_child", str(MEMORY_BYTES), str(TIME_S)]
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment = kept | {"PYTHONPATH": str(_CODE), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        drawing = subprocess.run(
            command,
            input=html.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what it says may quote the report
            env=environment,
            timeout=TIME_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_large() from None

    if drawing.returncode == CANNOT_DRAW:
        raise _not_installed()
    if drawing.returncode != 0 or not drawing.stdout:
        raise _too_large()
    return drawing.stdout


def _not_installed() -> Conflict:
    return Conflict("This service cannot draw PDF.", field="format", value="pdf", remedy=_REMEDY)


def _too_large() -> TooLarge:
    return TooLarge(
        f"The report could not be drawn as PDF within {TIME_S} seconds and {MEMORY_BYTES >> 30} GB.",
        field="format",
        value="pdf",
        remedy="Ask for HTML and print it.",
    )
