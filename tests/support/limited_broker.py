"""A broker without KIP-848 where rights are given one by one."""

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from infra.kafka.clients import admin
from tests.support.deployment import Deployment

PROPERTIES = {
    "group.coordinator.rebalance.protocols": "classic",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


def allow(deployment: Deployment, kind: ResourceType, name: str, user: str, operation: AclOperation) -> None:
    binding = AclBinding(
        kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation, AclPermissionType.ALLOW
    )
    client = admin(deployment.settings())  # a local variable: the answers come only while the client exists
    for future in client.create_acls([binding]).values():
        future.result(30)
