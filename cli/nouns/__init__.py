"""The commands that speak nouns and verbs: `mammodissect models list`, `mammodissect jobs submit`.

`NOUNS` has them in the order in which they are used. See docs/commands.md.
"""

import typer

from cli.nouns.alerts import alerts
from cli.nouns.audits import audits
from cli.nouns.comparisons import comparisons
from cli.nouns.concept_sets import concept_sets
from cli.nouns.deployments import deployments
from cli.nouns.dissectors import dissectors
from cli.nouns.jobs import jobs
from cli.nouns.layers import layers
from cli.nouns.models import models
from cli.nouns.neurons import neurons
from cli.nouns.probe_sets import probe_sets
from cli.nouns.schedules import schedules
from cli.nouns.submit import submit_job

__all__ = ["NOUNS", "submit_job"]  # the latter is a verb of jobs, in a module of its own

NOUNS: tuple[typer.Typer, ...] = (
    models,
    dissectors,
    probe_sets,
    concept_sets,
    jobs,
    layers,
    neurons,
    comparisons,
    deployments,
    audits,
    schedules,
    alerts,
)
