"""Makes the chart's templates from the objects of `deploy/k8s/overlays/chart`: `python -m deploy.helm.generate`.

Kustomize renders the objects; a few of their fields become values of the chart. `_helpers.tpl`, `settings.yaml`, the
tests, `NOTES.txt`, `values.yaml` and its schema are written by hand. Needs kustomize or kubectl.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "dragoman"
OVERLAY = Path(__file__).parents[1] / "k8s" / "overlays" / "chart"
SERVICES = ("auth", "edge", "message", "session")
DASHBOARD = ("dashboard", "edge-ops", "ops-from-dashboard")
"""Names of the dashboard's objects."""
_RENDERERS = {"kustomize": "build", "kubectl": "kustomize"}
_HEAD = "{{- /* Made of deploy/k8s: `python -m deploy.helm.generate`. */ -}}\n"
_SETTINGS = re.compile("dragoman-settings-[a-z0-9]{10}")
_KEY = re.compile(r"^(\s*)(?:- )?TEMPLATE_(\d+): null$", re.MULTILINE)
_VALUE = re.compile(r"'?TEMPLATE_(\d+)'?")
BACKUP = ("dragoman-backup", "backup")
"""Names of the backup's objects, beside its script."""
_BACKUP_SCRIPT = "backup-script-"
_FILES = {"NetworkPolicy": "network", "HorizontalPodAutoscaler": "autoscaling", "ScaledObject": "autoscaling-keda",
          "Ingress": "ingress", "HTTPRoute": "gateway", "ServiceMonitor": "monitors",
          "PrometheusRule": "rules"}  # fmt: skip
"""The file of each kind; other objects are in that of their process."""
_NETWORK_FILES = {"to-own-bucket": "network-bucket", "node-local-names": "network-node-local-dns",
                  "to-hooks": "network-outgoing-hooks", "openshift-names": "network-openshift",
                  "openshift-clients": "network-openshift", "openshift-metrics": "network-openshift"}  # fmt: skip
"""Of the policies that have a switch of their own."""
_SCALED_BY = '(.Values.autoscaling.kind | default "hpa")'
_SWITCHES = {"autoscaling": f'and .Values.autoscaling.enabled (eq "hpa" {_SCALED_BY})',
             "autoscaling-keda": f'and .Values.autoscaling.enabled (eq "keda" {_SCALED_BY})',
             "ingress": ".Values.ingress.enabled", "gateway": "(.Values.gateway).enabled",
             "monitors": ".Values.monitoring.enabled", "rules": ".Values.monitoring.enabled",
             "network": ".Values.network.policies", "dashboard": ".Values.dashboard.enabled",
             "backup": ".Values.backup.enabled",
             "network-bucket": "and .Values.network.policies .Values.network.bucket",
             "network-node-local-dns": "and .Values.network.policies .Values.network.nodeLocalDns",
             "network-outgoing-hooks": "and .Values.network.policies .Values.network.outgoingHooks",
             "network-openshift": "and .Values.network.policies .Values.openshift",
             "dashboard-network": "and .Values.dashboard.enabled .Values.network.policies"}  # fmt: skip
_AIMS = {"edge": "connections", "message": "messages"}
"""Values of the load at which an autoscaler adds a pod."""
_OF_THE_CLUSTER = ("runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy")
"""Fields of a pod that OpenShift sets."""
_BEFORE = {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation"}

_TLS = """\
{{- with .Values.ingress.tlsSecret }}
  tls: [{hosts: [{{ $.Values.ingress.host }}], secretName: {{ . }}}]
{{- end }}"""

Object = dict[str, Any]


def _lines(dumper: Any, text: str) -> Any:
    """Text of several lines as lines."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


yaml.add_representer(str, _lines)


class Templates:
    """Placeholders in the objects, each for a piece of template."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def value(self, piece: str) -> str:
        """Placeholder of a scalar."""
        self._pieces.append(piece)
        return f"TEMPLATE_{len(self._pieces) - 1}"

    def key(self, target: Object, piece: str) -> None:
        """Add lines to a mapping; `piece` indents them by INDENT spaces."""
        target[self.value(piece)] = None

    def fill(self, text: str) -> str:
        def lines(found: "re.Match[str]") -> str:
            return self._pieces[int(found[2])].replace("INDENT", str(len(found[1])))

        return _VALUE.sub(lambda found: self._pieces[int(found[1])], _KEY.sub(lines, text))


def files() -> dict[str, str]:
    """The generated templates by file name."""
    texts: dict[str, list[str]] = defaultdict(list)
    for one in _rendered():
        if not _is_left_out(one):
            texts[f"{_file_of(one)}.yaml"].append(_template(one))
    return {name: _file(name.removesuffix(".yaml"), documents) for name, documents in texts.items()}


def _is_left_out(one: Object) -> bool:
    """Helm makes the namespace; settings.yaml has the settings; dashboards stay with Kustomize. The volume of backups
    outlives a release, and `helm --wait` would wait until its first pod binds it."""
    is_map = one["kind"] == "ConfigMap" and not one["metadata"]["name"].startswith(_BACKUP_SCRIPT)
    return is_map or one["kind"] in ("Namespace", "PersistentVolumeClaim")


def _file_of(one: Object) -> str:
    name: str = one["metadata"]["name"]
    if name in BACKUP or name.startswith(_BACKUP_SCRIPT):
        return "backup"
    if name in DASHBOARD:
        return "dashboard-network" if one["kind"] == "NetworkPolicy" else "dashboard"
    return _NETWORK_FILES.get(name) or _FILES.get(one["kind"], name)


def _rendered() -> Iterator[Object]:
    renderer = next(filter(shutil.which, _RENDERERS))
    command = [renderer, _RENDERERS[renderer], str(OVERLAY)]
    text = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    yield from yaml.safe_load_all(text)


def _file(name: str, documents: list[str]) -> str:
    text = "---\n".join(documents)
    switch = _SWITCHES.get(name)
    return _HEAD + (f"{{{{- if {switch} }}}}\n{text}{{{{- end }}}}\n" if switch else text)


def _template(given: Object) -> str:
    one, templates = deepcopy(given), Templates()
    one["metadata"]["namespace"] = templates.value("{{ .Release.Namespace }}")
    match one["kind"]:
        case "Deployment" | "Job":
            _workload(one, templates)
        case "CronJob":
            _backup(one, templates)
        case "ServiceAccount" if one["metadata"]["name"] == "migrate":
            one["metadata"]["annotations"] = _BEFORE | {"helm.sh/hook-weight": "-10"}
        case "Ingress":
            _ingress(one, templates)
        case "HTTPRoute":
            del one["spec"]["parentRefs"]
            templates.key(one["spec"], "  parentRefs: {{ toJson .Values.gateway.parentRefs }}")
            one["spec"]["hostnames"] = [templates.value("{{ .Values.gateway.host | quote }}")]
        case "NetworkPolicy":
            _network(one, templates)
        case "HorizontalPodAutoscaler":
            name = one["metadata"]["name"]
            for field in ("minReplicas", "maxReplicas"):
                one["spec"][field] = templates.value(f"{{{{ .Values.{name}.{field} }}}}")
            (target,) = (metric["pods"]["target"] for metric in one["spec"]["metrics"] if metric["type"] == "Pods")
            target["averageValue"] = templates.value(_aim(name, target["averageValue"]))
        case "ScaledObject":
            _scaled(one, templates)
        case "ServiceMonitor" | "PrometheusRule":
            labels = one["metadata"].setdefault("labels", {})
            templates.key(labels, "{{- with .Values.monitoring.labels }}{{ toYaml . | nindent INDENT }}{{- end }}")
    text = yaml.dump(one, sort_keys=False, width=1000).replace("{{", '{{ "{{" }}')
    return templates.fill(text)


def _workload(one: Object, templates: Templates) -> None:
    name = one["metadata"]["name"]
    template = one["spec"]["template"]
    if one["kind"] == "Job":
        one["metadata"]["annotations"] = _BEFORE | {"helm.sh/hook-weight": "0"}
    else:
        one["spec"].pop("replicas", None)
        templates.key(one["spec"], _replicas(name))
        if name in _AIMS:
            templates.key(one["metadata"], _autoscaled(name))
        hashes = f'{{{{- include "dragoman.hashes" (list $ "{name}") | nindent INDENT }}}}'
        template["metadata"]["annotations"] = {}
        templates.key(template["metadata"]["annotations"], hashes)
    pod = template["spec"]
    _users(pod, templates)
    templates.key(pod, f'{{{{- include "dragoman.pod" (list $ "{name}") | nindent INDENT }}}}')
    (container,) = pod["containers"]
    container["image"] = templates.value('{{ include "dragoman.image" . }}')
    container["imagePullPolicy"] = templates.value("{{ .Values.image.pullPolicy }}")
    container["resources"] = {}
    templates.key(container["resources"], f"{{{{- toYaml .Values.{name}.resources | nindent INDENT }}}}")
    suffix = "-migrate" if one["kind"] == "Job" else ""
    container["envFrom"][0]["configMapRef"]["name"] = f"dragoman-settings{suffix}"
    templates.key(container, _environment(container.pop("env", [])))
    _secrets(pod, templates)


def _users(pod: Object, templates: Templates) -> None:
    """Users and groups of the pod's processes, unless the cluster chooses them."""
    security = pod["securityContext"]
    given = {field: security.pop(field) for field in _OF_THE_CLUSTER if field in security}
    fields = " ".join(f'"{field}" {json.dumps(value)}' for field, value in given.items())
    own = f"{{{{- dict {fields} | toYaml | nindent INDENT }}}}"
    templates.key(security, f"{{{{- if not .Values.openshift }}}}{own}{{{{- end }}}}")


def _secrets(pod: Object, templates: Templates) -> None:
    for volume in pod["volumes"]:
        if secret := volume.get("secret"):
            place = secret["secretName"].removeprefix("dragoman-")
            secret["secretName"] = templates.value(f"{{{{ .Values.secrets.{place} }}}}")
    for source in pod["containers"][0].get("envFrom", ()):
        if secret := source.get("secretRef"):
            place = secret["name"].removeprefix("dragoman-")
            secret["name"] = templates.value(f'{{{{ include "dragoman.optionalSecret" (list $ "{place}") }}}}')


def _backup(one: Object, templates: Templates) -> None:
    one["spec"]["schedule"] = templates.value("{{ .Values.backup.schedule | quote }}")
    pod = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    _users(pod, templates)
    templates.key(pod, '{{- include "dragoman.pod" (list $ "backup") | nindent INDENT }}')
    (container,) = pod["containers"]
    container["image"] = templates.value("{{ .Values.backup.image }}")
    container["env"] = [{"name": "KEEP", "value": templates.value("{{ .Values.backup.keep | quote }}")}]
    container["resources"] = {}
    templates.key(container["resources"], "{{- toYaml .Values.backup.resources | nindent INDENT }}")
    _secrets(pod, templates)
    claim = next(volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume)
    claim["claimName"] = templates.value("{{ .Values.backup.claim }}")


def _replicas(name: str) -> str:
    if name in _AIMS:
        return (
            f'{{{{- with include "dragoman.replicas" (list $ "{name}") }}}}{{{{ . | nindent INDENT }}}}{{{{- end }}}}'
        )
    return f"  replicas: {{{{ .Values.{name}.replicas }}}}"


def _autoscaled(name: str) -> str:
    mark = '{{ dict "annotations" (dict "dragoman/replicas" "autoscaler") | toYaml | nindent INDENT }}'
    return f'{{{{- if include "dragoman.autoscaled" (list $ "{name}") }}}}{mark}{{{{- end }}}}'


def _environment(own: list[Object]) -> str:
    text = yaml.dump(own, sort_keys=False).rstrip().replace("\n", "\n        ") if own else ""
    lines = f"\n        {text}" if own else ""
    extra = "{{- with .Values.extraEnv }}{{ toYaml . | nindent 8 }}{{- end }}"
    return f"        env:{lines}\n        {extra}"


def _ingress(one: Object, templates: Templates) -> None:
    one["metadata"]["annotations"] = {}
    templates.key(one["metadata"]["annotations"], "{{- toYaml .Values.ingress.annotations | nindent INDENT }}")
    one["spec"]["ingressClassName"] = templates.value("{{ .Values.ingress.className }}")
    one["spec"]["rules"][0]["host"] = templates.value("{{ .Values.ingress.host }}")
    templates.key(one["spec"], _TLS)


def _aim(name: str, default: str) -> str:
    """Values of an older release have none: `helm upgrade --reuse-values`."""
    return f"{{{{ .Values.autoscaling.{_AIMS[name]} | default {default} | int | quote }}}}"


def _scaled(one: Object, templates: Templates) -> None:
    """Bounds, and where and of which namespace KEDA reads."""
    name = one["metadata"]["name"]
    for field in ("minReplica", "maxReplica"):
        one["spec"][f"{field}Count"] = templates.value(f"{{{{ .Values.{name}.{field}s }}}}")
    (metadata,) = (trigger["metadata"] for trigger in one["spec"]["triggers"] if trigger["type"] == "prometheus")
    metadata["serverAddress"] = templates.value("{{ .Values.autoscaling.prometheus }}")
    metadata["threshold"] = templates.value(_aim(name, metadata["threshold"]))
    own = f'namespace="{templates.value("{{ .Release.Namespace }}")}"'
    metadata["query"] = metadata["query"].replace('namespace="dragoman"', own)


def _network(one: Object, templates: Templates) -> None:
    servers = {"to-nats": "nats", "to-valkey": "valkey", "to-postgres": "postgres"}
    if server := servers.get(one["metadata"]["name"]):
        block = one["spec"]["egress"][0]["to"][0]["ipBlock"]
        block["cidr"] = templates.value(f"{{{{ .Values.network.{server} }}}}")


def write() -> None:
    for name, text in files().items():
        (CHART / "templates" / name).write_text(text)


if __name__ == "__main__":
    write()
