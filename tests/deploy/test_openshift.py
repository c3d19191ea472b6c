"""The pods satisfy OpenShift's security context constraint `restricted-v2`, and their network policies work on
OpenShift.
"""

import re
from collections.abc import Iterator

from tests.deploy.manifests import EVERYTHING, K8S, Object, containers, matches, needs_helm, pod_template, template

DOCKERFILE = (K8S.parents[1] / "Dockerfile").read_text()
CHOSEN = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
"""Fields that OpenShift sets itself. It rejects pods that set other values."""
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
DNS_PODS = {"dns.operator.openshift.io/daemonset-dns": "default"}


OBJECTS = (*EVERYTHING, "openshift=true")


def pods() -> Iterator[Object]:
    for one in template(*OBJECTS):
        if one["kind"] in ("Deployment", "StatefulSet", "Job", "CronJob"):
            yield one


@needs_helm
def test_the_cluster_chooses_users_and_groups() -> None:
    """The pods set neither user nor group, so that the cluster can choose them.

    Pods write only to volumes, which the chosen group may write.
    """
    assert len(list(pods())) >= 6
    for one in pods():
        pod = pod_template(one)["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for security in (container["securityContext"] for container in containers(one)):
            assert CHOSEN.isdisjoint(security), one["metadata"]["name"]
            assert security["readOnlyRootFilesystem"], one["metadata"]["name"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
        assert {next(kind for kind in volume if kind != "name") for volume in pod["volumes"]} <= VOLUMES


@needs_helm
def test_names_are_resolved_by_the_pods_of_openshift() -> None:
    (policy,) = [one for one in template(*OBJECTS) if one["metadata"]["name"] == "openshift-names"]
    (rule,) = policy["spec"]["egress"]
    (peer,) = rule["to"]
    assert policy["spec"]["podSelector"] == {}
    assert matches(peer["podSelector"], DNS_PODS)
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {
        (protocol, port) for protocol in ("TCP", "UDP") for port in (53, 5353)
    }


def test_the_image_s_own_directories_are_writable_for_group_0() -> None:
    """Some directories of the image are not covered by a volume.

    A user that a cluster has chosen is in group 0, so this group must be able to write there.
    """
    (found,) = re.findall(r"install -d -o 10001 -g 0 -m 0775 ([^\\]*)", DOCKERFILE)
    assert {"/data", "/data/keys", "/data/media", "/data/outbox", "/data/search", "/backups", "/metrics"} == set(
        found.split()
    )
