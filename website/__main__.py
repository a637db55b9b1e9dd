"""`python -m website OUT`: build the documentation as a website into a folder.

A warning is an error, such as one of a link that leads nowhere. No network is used.
"""

import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from website.pages import collect_pages

REPOSITORY = Path(__file__).parent.parent


def build_site(sources: Path, out: Path) -> int:
    """Build the pages in `sources` into `out`. Returns Sphinx's exit status, which is not 0 where it warns of anything.

    Everything is read anew: Sphinx does not repeat the warnings of pages that it has read before.
    """
    strict = ("--fail-on-warning", "--keep-going", "--fresh-env", "--write-all", "--quiet")
    doctrees = out.with_name(f"{out.name}-doctrees")
    folders = ("--conf-dir", Path(__file__).parent, "--doctree-dir", doctrees, sources, out)
    return build_main([*strict, *map(str, folders)])


def main() -> None:
    """Collect the pages, and build them into the folder that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m website OUT")
    out = Path(sys.argv[1])
    sources = out.with_name(f"{out.name}-sources")

    collect_pages(REPOSITORY, sources)
    status = build_site(sources, out)

    if status == 0:
        print(out / "index.html")
    sys.exit(status)


if __name__ == "__main__":
    main()
