"""Report content as one HTML file: no script, no request to any server, every text escaped."""

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment
from markupsafe import Markup

from service.domain.comparisons import beyond_noise
from service.domain.manifests import input_lines, input_warnings
from service.reports.environments import environment_of
from service.reports.finding_lines import findings_in, spelled_otherwise
from service.reports.provenance import manifest_lines, method_words, weights_words
from service.reports.purpose_lines import override_sentence, purpose_lines
from service.reports.readers import standing_words
from service.reports.where import localisation_words


def render(template: str, **content: object) -> str:
    """The template filled in. All of it is escaped, except our own drawings."""
    style = files("service.reports").joinpath("templates", "style.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"

    # Nothing but the file's own text: no caller's string is ever marked as safe.
    return _environment().get_template(template).render(style=Markup(style), policy=policy, **content)  # noqa: S704


def picture(jpeg: bytes) -> str:
    """A JPEG as a data: URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


@cache
def _environment() -> Environment:
    environment = environment_of("service.reports")
    environment.filters |= {
        "method_words": method_words,
        "manifest_lines": manifest_lines,
        "purpose_lines": purpose_lines,
        "override_sentence": override_sentence,
        "input_lines": input_lines,
        "input_warnings": input_warnings,
        "findings_in": findings_in,
        "spelled_otherwise": spelled_otherwise,
        "weights_words": weights_words,
        "localisation_words": localisation_words,
        "standing_words": standing_words,
    }

    environment.tests["beyond_noise"] = beyond_noise
    return environment
