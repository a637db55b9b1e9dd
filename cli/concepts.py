"""`mammodissect concepts`: what is weak about a concept set, and what happened from one to another."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.concept_files import HELP, CategoriesOption, ControlOption, read_concepts
from service.exits import ExitStatus

if TYPE_CHECKING:
    from service.concepts.diff import ConceptSetDiff
    from service.concepts.lint import Remark
    from service.domain.specs import CategoriesSpec

concepts = typer.Typer(name="concepts", help="Look at concept sets.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SetArgument = Annotated[str, typer.Argument(help=HELP)]


@concepts.command("lint")
def lint_concepts(
    concept_set: SetArgument,
    categories: CategoriesOption = None,
    control: ControlOption = None,
    dissector: Annotated[
        Path | None, typer.Option(help="Directory of a dissector that reads the texts: what it cuts, and what is near.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where there is any remark.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Say what is weak about a concept set. Nothing of it is an error.

    Negations, sides, times, uncertainty, near duplicates, characters that look like others, and two categories.
    """
    from service.concepts.lint import by_weakness, lint, of_several_places

    concepts_read, fit = read_concepts(concept_set, categories, control)
    remarks = list(lint(concepts_read))
    if fit is not None:
        remarks += of_several_places(fit)
    if dissector is not None:
        from service.domain.models import DissectorSpec
        from service.studies.concept_reading import remarks_by_reading

        remarks += remarks_by_reading(DissectorSpec(dissector), concepts_read, device)
    remarks = by_weakness(remarks)

    if as_json:
        printed = {
            "concepts": len(concepts_read.concepts),
            "digest": concepts_read.digest,
            "notes": list(concepts_read.notes),
            "categories": fit,
            "remarks": [asdict(remark) for remark in remarks],
        }
        typer.echo(json.dumps(printed, indent=1, ensure_ascii=False))
    else:
        for line in (*concepts_read.notes, *_fit_lines(fit), *_remark_lines(remarks, len(concepts_read.concepts))):
            typer.echo(line)
    return ExitStatus.NO if strict and remarks else ExitStatus.OK


@concepts.command("diff")
def diff_concepts(before: SetArgument, after: SetArgument, as_json: JsonOption = False) -> None:
    """Say what happened from one concept set to another."""
    from service.concepts.diff import diff

    earlier, _ = read_concepts(before, None, None)
    later, _ = read_concepts(after, None, None)
    difference = diff(earlier, later)
    if as_json:
        typer.echo(json.dumps(asdict(difference), indent=1, ensure_ascii=False))
        return
    for line in _diff_lines(difference):
        typer.echo(line)


def _fit_lines(fit: "CategoriesSpec | None") -> Iterator[str]:
    if fit is None:
        return
    if fit["without_concepts"]:
        yield f"Concepts without a category: {_named(fit['without'], fit['without_concepts'])}"
    if fit["unused_texts"]:
        yield f"Texts of the table that are not concepts: {_named(fit['unused'], fit['unused_texts'])}"


def _named(texts: Sequence[str], count: int) -> str:
    shown = ", ".join(f"'{text}'" for text in texts[:10])
    return f"{count} ({shown if count <= 10 else f'{shown}, …'})"


def _remark_lines(remarks: "Sequence[Remark]", concepts_read: int) -> Iterator[str]:
    from service.reports.wording import counted

    for weakness, of_kind in groupby(remarks, lambda remark: remark.weakness):
        yield f"{weakness}:"
        yield from (f"  {remark.detail}" for remark in of_kind)
    yield f"{counted(len(remarks), 'remark')} on {counted(concepts_read, 'concept')}."


def _diff_lines(difference: "ConceptSetDiff") -> Iterator[str]:
    from service.reports.wording import counted

    yield from (f"+ {text}" for text in difference.added)
    yield from (f"- {text}" for text in difference.removed)
    yield from (f"? '{pair.before}' may be '{pair.after}' now ({pair.alike})" for pair in difference.renamed)
    for change in difference.changed:
        yield f"~ {change.text}: {change.field} was {change.before!r}, is {change.after!r}"

    changes = counted(len(difference.changed), "field changed", "fields changed")
    yield (
        f"{len(difference.added)} added, {len(difference.removed)} removed, {changes}, "
        f"{difference.moved} moved, {difference.same} the same."
    )
