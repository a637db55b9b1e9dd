"""`mammodissect concepts`: what is weak about a concept set, and what happened from one to another."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
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
    found = diff(earlier, later)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, ensure_ascii=False))
        return
    for line in _diff_lines(found):
        typer.echo(line)


def _fit_lines(fit: "CategoriesSpec | None") -> Iterator[str]:
    if fit is None:
        return
    for count, texts, what in (
        (fit["without_concepts"], fit["without"], "concepts are in no category"),
        (fit["unused_texts"], fit["unused"], "texts of the table are no concept"),
    ):
        if count:
            yield f"{count} {what}: {_named(texts, count)}"


def _named(texts: Sequence[str], count: int) -> str:
    shown = ", ".join(f"'{text}'" for text in texts[:10])
    return shown if count <= 10 else f"{shown}, …"


def _remark_lines(remarks: "Sequence[Remark]", concepts_read: int) -> Iterator[str]:
    heading = ""
    for remark in remarks:
        if remark.weakness != heading:
            heading = remark.weakness
            yield f"{heading}:"
        yield f"  {remark.detail}"
    yield f"{len(remarks)} remarks on {concepts_read} concepts."


def _diff_lines(found: "ConceptSetDiff") -> Iterator[str]:
    yield from (f"+ {text}" for text in found.added)
    yield from (f"- {text}" for text in found.removed)
    yield from (f"? '{pair.before}' may be '{pair.after}' now ({pair.alike})" for pair in found.renamed)
    for change in found.changed:
        yield f"~ {change.text}: {change.field} was {change.before!r}, is {change.after!r}"
    yield (
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} fields changed, "
        f"{found.moved} moved, {found.same} the same."
    )
