"""`mammodissect paper`: the tables of Mammo-CLIP Dissect, from a service or from result files alone."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.client import Parameter, path_of
from cli.concept_files import CategoriesOption, ControlOption, read_concepts
from cli.connection import KeyFile, ProfileName, Url, connect
from cli.documents import write_document
from service.analysis.paper import paper_tables
from service.analysis.published import read_result_files
from service.errors import InvalidInput
from service.reports.paper import PaperFormat, paper_file

_FORMATS: dict[str, PaperFormat] = {".json": "json", ".csv": "csv", ".html": "html"}


def paper(
    out: Annotated[Path, typer.Option(help="File to write: .json, .csv (a line for each unit) or .html (figures).")],
    job: Annotated[list[str] | None, typer.Option(help="Id of a succeeded job; repeat it.")] = None,
    comparison: Annotated[str | None, typer.Option(help="Instead of jobs and tables: id of a comparison.")] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option(help="Result file in the layout of Mammo-CLIP Dissect or CLIP-Dissect; repeat it."),
    ] = None,
    concept_set: Annotated[
        str | None,
        typer.Option(help="Whose categories count: a registered set; with tables alone a built-in set or a file."),
    ] = None,
    categories: CategoriesOption = None,
    control: ControlOption = None,
    layers: Annotated[bool, typer.Option("--layers", help="In a .csv, a line for each layer.")] = False,
    url: Url = None,
    api_key_file: KeyFile = None,
    profile: ProfileName = None,
) -> None:
    """Write what the published notebooks compute. With tables alone, no service is asked."""
    form = _format(out, layers=layers)
    if (comparison is None) == (not job and not table):
        raise InvalidInput(
            "Say which tables are meant.", field="job", remedy="Give --job and --table, or --comparison alone."
        )

    if table and not job:
        write_document(out, _of_files(table, concept_set, categories, control, form), field="out")
    else:
        if categories is not None or control:
            raise InvalidInput(
                "A service reads no table of categories for this.",
                field="categories",
                remedy="Register a concept set with its categories, and name it with --concept-set.",
            )

        path, asked = _request(job, comparison, table, concept_set)
        with closing(connect(url, api_key_file, profile)) as client:
            client.download(path, out, format=form, **asked)

    typer.echo(f"Tables written to {out}", err=True)


def _of_files(
    paths: list[Path], concept_set: str | None, categories: Path | None, control: list[str] | None, form: PaperFormat
) -> bytes:
    """The tables of result files, without a service."""
    if concept_set is None:
        raise InvalidInput(
            "Nothing says which categories the concepts have.",
            field="concept_set",
            remedy="Name a built-in set or a file with --concept-set.",
        )

    concepts, _ = read_concepts(concept_set, categories, control)
    networks, notes = read_result_files(paths, field="table")
    return paper_file(paper_tables(networks, concepts, notes), concepts.name, form)


def _request(
    job: list[str] | None, comparison: str | None, table: list[Path] | None, concept_set: str | None
) -> tuple[str, dict[str, Parameter | list[str]]]:
    """The path and the query that a service is asked by."""
    if comparison is None:
        query: dict[str, Parameter | list[str]] = {
            "job": job or [],
            "table": [str(path.absolute()) for path in table or []],
        }
        if concept_set is not None:
            query["concept_set"] = concept_set
        return "/paper", query

    if concept_set is not None:
        raise InvalidInput(
            "A comparison has a concept set of its own.",
            field="concept_set",
            value=concept_set,
            remedy="Leave out --concept-set, or name the comparison's jobs with --job.",
        )
    return path_of("comparisons", comparison, "paper"), {}


def _format(out: Path, *, layers: bool) -> PaperFormat:
    form = _FORMATS.get(out.suffix)
    if form is None:
        raise InvalidInput(
            f"'{out.name}' does not end in a known format.",
            field="out",
            value=out,
            remedy=f"End it in {', '.join(_FORMATS)}.",
        )
    if not layers:
        return form

    if form != "csv":
        raise InvalidInput(
            "A line for each layer is written only in a .csv file.",
            field="layers",
            value=out,
            remedy="End --out in .csv, or leave out --layers: .json and .html have the layers anyway.",
        )
    return "csv-layers"
