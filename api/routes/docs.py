"""The contract as a page that tries calls out: Swagger UI, from a package that comes along and not from elsewhere."""

from importlib.metadata import version
from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Request, Response

from api.one_thread import OneThreadRoute
from api.tags import tag

PACKAGE = "fastapi-swagger"

PAGE_PATH = "/docs"
_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")
PATHS = frozenset({PAGE_PATH, *(f"{PAGE_PATH}/{name}" for name in _FILES)})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing is loaded from elsewhere and sent to elsewhere, and no script or style stands in the page."""

# Paths are relative: the service may be behind a proxy that puts something before them.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mammo-CLIP Dissect service: HTTP calls</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="calls"></div>
<noscript><p>This page needs a script of this service. The contract itself is at
<a href="openapi.json">openapi.json</a>.</p></noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

_START = """"use strict";
SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#calls",
  deepLinking: true,
  filter: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  queryConfigEnabled: false,
});
"""

_SCRIPT, _STYLE, _HTML = "text/javascript", "text/css", "text/html"

router = APIRouter(prefix=PAGE_PATH, route_class=OneThreadRoute, include_in_schema=False)


@router.get("", response_class=Response)
def read_docs() -> Response:
    """The page. It needs no key; the calls that it tries out need the one that is given there."""
    return _answer(_PAGE, _HTML)


@router.get("/start.js", response_class=Response)
def read_start() -> Response:
    """What starts the page."""
    return _answer(_START, _SCRIPT)


@router.get("/swagger-ui-bundle.js", response_class=Response)
def read_script(request: Request) -> Response:
    """Swagger UI."""
    return _packaged(request, "swagger-ui-bundle.js", _SCRIPT)


@router.get("/swagger-ui.css", response_class=Response)
def read_style(request: Request) -> Response:
    """How Swagger UI looks."""
    return _packaged(request, "swagger-ui.css", _STYLE)


def _packaged(request: Request, name: Literal["swagger-ui-bundle.js", "swagger-ui.css"], media_type: str) -> Response:
    tag(request, version(PACKAGE))
    content = files("fastapi_swagger.resources").joinpath(name).read_text(encoding="utf-8")
    return _answer(content, media_type)


def _answer(content: str, media_type: str) -> Response:
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, media_type=media_type, headers=headers)
