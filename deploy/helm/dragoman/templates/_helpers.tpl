{{- define "dragoman.image" -}}
{{ with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* The long-running processes, joined by blanks. Values of an older release have no search. */ -}}
{{- define "dragoman.processes" -}}
auth session message edge{{ if (.Values.search).enabled }} search{{ end }}
{{- end }}

{{- /* Settings of all processes, by variable. */ -}}
{{- define "dragoman.settings" -}}
{{- if not (.Values.search).enabled }}
DRAGOMAN_SEARCH__ENABLED: "false"
{{- end }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{- /* Hashes of the settings and of a process's Secrets: pods are replaced when one changes. Arguments: root, name. */ -}}
{{- define "dragoman.hashes" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}
{{- $further := dict "auth" (list "keys" "mail") "edge" (list "bucket") }}
{{- $places := concat (list $name) (get $further $name | default list) }}
{{- $data := list }}
{{- range $places }}
{{- $secret := lookup "v1" "Secret" $root.Release.Namespace (get $root.Values.secrets . | default (include "dragoman.optionalSecret" (list $root .))) }}
{{- $data = append $data (dict "data" ($secret.data | default dict)) }}
{{- end -}}
dragoman/settings: {{ include "dragoman.settings" $root | sha256sum | trunc 16 | quote }}
dragoman/secrets: {{ $data | toJson | sha256sum | trunc 16 | quote }}
{{- end }}

{{- /* Name of a Secret that may be missing. Arguments: root, place. */ -}}
{{- define "dragoman.optionalSecret" -}}
{{- $root := index . 0 }}{{ $place := index . 1 }}
{{- get ($root.Values.optionalSecrets | default dict) $place | default (printf "dragoman-%s" $place) }}
{{- end }}

{{- /* Whether the autoscaler alone sets the number of pods: true, or empty. Helm would make a number that it no longer
states 1. So a Deployment that once had a number keeps it, and one that began without bears the annotation. Arguments:
root, name. */ -}}
{{- define "dragoman.autoscaled" -}}
{{- $root := index . 0 }}
{{- $present := lookup "apps/v1" "Deployment" $root.Release.Namespace (index . 1) }}
{{- if and $root.Values.autoscaling.enabled (or (not $present) (dig "metadata" "annotations" "dragoman/replicas" "" $present)) }}true{{ end }}
{{- end }}

{{- /* Arguments: root, name. */ -}}
{{- define "dragoman.replicas" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}
{{- if not (include "dragoman.autoscaled" .) -}}
replicas: {{ if $root.Values.autoscaling.enabled }}{{ (lookup "apps/v1" "Deployment" $root.Release.Namespace $name).spec.replicas }}{{ else }}{{ (index $root.Values $name).replicas }}{{ end }}
{{- end }}
{{- end }}

{{- /* Where pods run. Arguments: root, name. */ -}}
{{- define "dragoman.pod" -}}
{{- $root := index . 0 }}{{ $values := index $root.Values (index . 1) }}
{{- $fields := dict "imagePullSecrets" $root.Values.image.pullSecrets "priorityClassName" $root.Values.priorityClassName }}
{{- range $field := list "tolerations" "nodeSelector" "affinity" }}
{{- $_ := set $fields $field (index $values $field | default (index $root.Values $field)) }}
{{- end }}
{{- range $field, $value := $fields }}
{{- with $value }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Metadata of an object. Arguments: root, name; then, unless it is no part of the system, its process or "". */ -}}
{{- define "dragoman.metadata" -}}
{{- $root := index . 0 -}}
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  {{- if gt (len .) 2 }}
  labels:
    {{- with index . 2 }}
    app.kubernetes.io/name: {{ . }}
    {{- end }}
    app.kubernetes.io/part-of: dragoman
  {{- end }}
{{- end }}

{{- /* Security of a pod. OpenShift chooses users and groups. Arguments: root, user. */ -}}
{{- define "dragoman.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- if not (index . 0).Values.openshift }}
  {{- $user := index . 1 }}
  {{- dict "runAsUser" $user "runAsGroup" $user "fsGroup" $user "fsGroupChangePolicy" "OnRootMismatch" | toYaml | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "dragoman.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* What the containers of all processes have in common. Arguments: root, name. */ -}}
{{- define "dragoman.container" -}}
{{- $root := index . 0 }}{{ $name := index . 1 -}}
name: dragoman
image: {{ include "dragoman.image" $root }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
resources:
  {{- toYaml (index $root.Values $name).resources | nindent 2 }}
{{ include "dragoman.containerSecurity" . }}
{{- end }}

{{- /* Arguments: root, name. */ -}}
{{- define "dragoman.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
- {name: secret, secret: {secretName: {{ get (index . 0).Values.secrets (index . 1) }}, defaultMode: 0440}}
{{- end }}

{{- define "dragoman.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: secret, mountPath: /secrets, readOnly: true}
{{- end }}

{{- /* A missing dependency makes a process unready, never dead. Arguments: port, path of the readiness. */ -}}
{{- define "dragoman.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ index . 0 }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ index . 0 }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
  terminationGracePeriodSeconds: 10  # a frozen process never ends its work: its clients wait for nothing
readinessProbe:
  httpGet: {path: {{ index . 1 }}, port: {{ index . 0 }}}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}
