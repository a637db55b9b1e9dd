"""What the demo shows: the strongest neurons of each layer, and what the units of a head that is known are called."""

from rich.table import Table

from cli.client import Answer, ServiceClient
from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import name_findings
from service.probes.phantoms import FINDINGS

_STRONGEST = 3
_LOOKED_AT = 50

_NOTHING_OF_A_BREAST = ("non-medical", "other medical images")
"""Broad categories of concepts that no mammogram shows: a neuron that is not named is not shown by these."""


def strongest_neurons(client: ServiceClient, job: Answer) -> Table:
    """The neurons of each layer with the highest scores: named ones, then others by the concept that is nearest.

    Where no neuron can have a verdict, the reason stands below the table.
    """
    table = Table(title=f"Strongest neurons of {job['target']} on {job['probe_set']}", title_justify="left")
    table.add_column("layer", no_wrap=True)
    table.add_column("unit", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("name, or (nearest concept)", overflow="fold")
    table.add_column("category", overflow="fold")
    table.add_column("verdict", no_wrap=True)

    dissected = client.get("/layers", job=job["id"])
    judged_by = dissected["judged_by"]
    if judged_by is not None and judged_by["refused"] is not None:
        table.caption, table.caption_justify = f"No neuron has a verdict. {judged_by['refused']}", "left"

    for layer in dissected["items"]:
        neurons = _strongest(client, job["id"], layer["layer"])
        significant = "" if layer["significant"] is None else f"{layer['significant']} significant"

        heads = [layer["layer"], f"{layer['units']} units", significant]
        rows = [(str(neuron["unit"]), f"{neuron['score']:.2f}", *_called(neuron)) for neuron in neurons]
        rows += [("", "", "", "", "")] * (len(heads) - len(rows))

        table.add_section()
        for head, cells in zip(heads, rows, strict=True):
            table.add_row(head, *cells)

    return table


def _strongest(client: ServiceClient, job: str, layer: str) -> list[Answer]:
    path = f"/neurons/{layer}"
    named: list[Answer] = client.get(path, job=job, limit=_STRONGEST, verdict="named")["items"]
    others = client.get(path, job=job, limit=_LOOKED_AT, dead=False)["items"]
    of_a_breast = [
        neuron
        for neuron in others
        if neuron["verdict"] != "named" and neuron["broad_category"] not in (None, *_NOTHING_OF_A_BREAST)
    ]
    return [*named, *of_a_breast][:_STRONGEST]


def _called(neuron: Answer) -> tuple[str, str, str]:
    """What it is called, the category of its label, and the verdict."""
    name = neuron["name"] or f"({neuron['concept']})"
    return name, neuron["category"], neuron["verdict"] or ""


def known_head(client: ServiceClient, jobs: dict[str, str], concept_set: str) -> Table:
    """Each finding beside what its unit of the head is called in each of the jobs (name -> id), right ones marked."""
    concepts = builtin_concept_set(concept_set)
    findings = {concepts.texts[index]: finding for index, finding in name_findings(concepts, FINDINGS).items()}
    labels = {name: _labels(client, job) for name, job in jobs.items()}
    right = dict.fromkeys(jobs, 0)

    table = Table("trained for", *jobs, title="What each unit of the head is called", title_justify="left")
    for unit, finding in enumerate(FINDINGS):
        cells = []
        for name in jobs:
            label = labels[name].get(unit, "-")
            if findings.get(label) == finding:
                right[name] += 1
                label += " *"
            cells.append(label)

        table.add_row(finding, *cells)

    table.add_section()
    table.add_row("* called after it", *(f"{count} of {len(FINDINGS)}" for count in right.values()))
    return table


def _labels(client: ServiceClient, job: str) -> dict[int, str]:
    neurons = client.get("/neurons/_fc", job=job, limit=len(FINDINGS), dead=False)["items"]
    return {neuron["unit"]: neuron["concept"] for neuron in neurons}
