"""Register policies, and read them back."""

from sqlalchemy.orm import Session

from service.analysis.policy_codec import policy_as_json, policy_from
from service.db.resources import add_resource
from service.domain.digests import digest_of
from service.domain.policies import Policy
from service.domain.resources import Resource, ResourceKind, check_name
from service.usecases.resources import Registered
from service.usecases.trail import annotate


def register_policy(session: Session, name: str, policy: Policy) -> Registered:
    """Register a policy as a version of that name."""
    check_name(name)
    document = policy_as_json(policy)
    digest = digest_of(document)
    annotate(session, after=digest)
    return add_resource(session, ResourceKind.POLICY, name, digest, document)


def policy_of(resource: Resource) -> Policy:
    """The policy that a registered resource holds."""
    return policy_from(dict(resource.spec))
