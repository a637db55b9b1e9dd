"""What a model registry has told of its versions: events of aliases name a version, not where its weights are."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.audit_tables import RegistryVersionRow


def add_registry_version(session: Session, name: str, version: str, source: str) -> bool:
    """Note where a version's weights are; False where just that is known."""
    statement = insert(RegistryVersionRow).values(name=name, version=version, source=source)
    noted = statement.on_conflict_do_update(
        index_elements=[RegistryVersionRow.name, RegistryVersionRow.version],
        set_={"source": source},
        where=RegistryVersionRow.source != source,
    )
    return session.scalar(noted.returning(RegistryVersionRow.name)) is not None


def source_of_registry_version(session: Session, name: str, version: str) -> str | None:
    """Where that version's weights are, if anybody has told."""
    query = select(RegistryVersionRow.source)
    return session.scalar(query.where(RegistryVersionRow.name == name, RegistryVersionRow.version == version))
