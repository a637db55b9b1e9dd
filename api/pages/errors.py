"""Errors at the pages, as pages: the same problem that the API answers, for people to read."""

import json
import re
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from markupsafe import Markup, escape

from api.key_check import SIGN_IN, is_page
from api.pages.rendering import page
from api.trail import READING

_PASSES = (408, 409, 500, 503)
"""What may be gone when the page is loaded again."""

_PASSED_ON = ("retry-after", "allow")
_CALL = re.compile(r"GET (/(?:jobs|models|dissectors|probe-sets|concept-sets|deployments|comparisons))\b(?![/{])")
"""What a remedy names for callers of the API, and what the pages have, too."""


def present(request: Request, problem: JSONResponse) -> Response:
    """The problem as a page, for a request for a page; any other gets the problem itself."""
    if not is_page(request.scope):
        return problem

    said = json.loads(bytes(problem.body))
    if request.url.path == SIGN_IN and said["status"] == HTTPStatus.UNAUTHORIZED:
        answer = page(request, "sign_in.html", status_code=401, refused=said["detail"])
    else:
        answer = _error_page(request, said)

    for header in _PASSED_ON:
        if header in problem.headers:
            answer.headers[header] = problem.headers[header]
    return answer


def _error_page(request: Request, said: dict[str, object]) -> Response:
    status = int(str(said["status"]))
    title, remedy = said["title"], said.get("remedy")
    if status == HTTPStatus.NOT_FOUND and said.get("field") == "path":
        title, remedy = "There is no such page", "Follow a link, or go to the home page."

    return page(
        request,
        "error.html",
        status_code=status,
        status=status,
        title=title,
        detail=said["detail"],
        field=said.get("field"),
        value=said.get("value"),
        remedy=None if remedy is None else with_links(str(remedy)),
        others=[error["detail"] for error in _listed(said)[1:]],
        may_try_again=request.method in READING and status in _PASSES,
    )


def _listed(said: dict[str, object]) -> list[dict[str, str]]:
    errors = said.get("errors")
    return errors if isinstance(errors, list) else []


def with_links(remedy: str) -> Markup:
    """The remedy with links to pages in place of the API's calls."""
    parts: list[Markup] = []
    end = 0
    for call in _CALL.finditer(remedy):
        parts.append(escape(remedy[end : call.start()]))
        parts.append(Markup('<a href="/ui{path}">/ui{path}</a>').format(path=call[1]))
        end = call.end()
    return Markup("").join([*parts, escape(remedy[end:])])
