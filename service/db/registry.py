"""What a model registry has told: where the weights of its versions are, and which version has which alias."""

from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.audit_tables import DeploymentRow, RegistryAliasRow, RegistryVersionRow


def lock_registered_model(session: Session, name: str) -> None:
    """Wait until nobody else hears of that model, and have others wait until this transaction ends.

    Of an event of a version and one of its alias that come at the same moment, the second must see the first.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"registry/{name}"})


def note_registry_version(session: Session, name: str, version: str, source: str) -> None:
    """Note where a version's weights are."""
    statement = insert(RegistryVersionRow).values(name=name, version=version, source=source)
    key = [RegistryVersionRow.name, RegistryVersionRow.version]
    session.execute(statement.on_conflict_do_update(index_elements=key, set_={"source": source}))


def source_of_registry_version(session: Session, name: str, version: str) -> str | None:
    """Where that version's weights are, if anybody has told."""
    query = select(RegistryVersionRow.source)
    return session.scalar(query.where(RegistryVersionRow.name == name, RegistryVersionRow.version == version))


def move_registry_alias(session: Session, name: str, alias: str, version: str | None, at: datetime) -> bool:
    """Note which version has had an alias since then, None for no version; False where something as new is known."""
    statement = insert(RegistryAliasRow).values(name=name, alias=alias, version=version, at=at)
    moved = statement.on_conflict_do_update(
        index_elements=[RegistryAliasRow.name, RegistryAliasRow.alias],
        set_={"version": version, "at": at},
        where=RegistryAliasRow.at < at,
    )
    return session.scalar(moved.returning(RegistryAliasRow.name)) is not None


def aliases_without_version(session: Session, patience: timedelta) -> list[tuple[str, str, str]]:
    """Model, alias and version of every followed alias that was given so long ago to a version nobody has told of."""
    followed = RegistryAliasRow.name + "@" + RegistryAliasRow.alias
    told_of = select(RegistryVersionRow.name).where(
        RegistryVersionRow.name == RegistryAliasRow.name, RegistryVersionRow.version == RegistryAliasRow.version
    )
    query = (
        select(RegistryAliasRow.name, RegistryAliasRow.alias, RegistryAliasRow.version)
        .where(RegistryAliasRow.version.is_not(None), RegistryAliasRow.at < func.clock_timestamp() - patience)
        .where(select(DeploymentRow.id).where(DeploymentRow.registered_model == followed).exists())
        .where(~told_of.exists())
        .order_by(RegistryAliasRow.name, RegistryAliasRow.alias)
    )
    return [(name, alias, str(version)) for name, alias, version in session.execute(query)]


def aliases_of_registry_version(session: Session, name: str, version: str) -> list[str]:
    """The aliases that this version has, in alphabetical order."""
    query = select(RegistryAliasRow.alias).where(RegistryAliasRow.name == name, RegistryAliasRow.version == version)
    return list(session.scalars(query.order_by(RegistryAliasRow.alias)))
