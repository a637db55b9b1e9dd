"""`mammodissect admin`: what an operator does now and then."""

from datetime import timedelta
from typing import Annotated

import typer

admin = typer.Typer(name="admin", help="Look after a running service.", no_args_is_help=True)


@admin.callback()
def _admin() -> None:
    """Keeps `gc` a command of its own while it is the only one."""


@admin.command()
def gc(
    older_than_days: Annotated[
        float, typer.Option(min=0.05, help="Artifacts that were used since then are kept.")
    ] = 30.0,
) -> None:
    """Delete intermediate results that no job can need any more. Reads DATABASE_URL and ARTIFACTS_URL."""
    from service.config import Settings
    from service.db.session import open_sessions
    from service.storage import open_store
    from service.usecases.garbage import collect_garbage

    settings = Settings()
    collected = collect_garbage(
        open_sessions(settings.database_url, pool_size=1),
        open_store(settings.artifacts_url),
        older_than=timedelta(days=older_than_days),
    )
    print(f"{collected.artifacts} artifacts and {collected.orphans} files without a record deleted")
