"""Where templates are filled in: all is escaped, a name that is not given is an error, and figures read alike."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from service.reports import svg
from service.reports.figures import number, percent, probability, signed
from service.reports.wording import counted


def environment_of(package: str) -> Environment:
    """The templates in a package's folder `templates`, with our drawings and what writes figures."""
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "probability": probability,
        "signed": signed,
        "counted": counted,
    }
    environment.globals["svg"] = svg
    return environment
