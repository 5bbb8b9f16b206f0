{{- define "ingress-nginx.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ingress-nginx.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ingress-nginx.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ingress-nginx.controller.fullname" -}}
{{- printf "%s-%s" (include "ingress-nginx.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ingress-nginx.electionID" -}}
{{- default (printf "%s-leader" (include "ingress-nginx.fullname" .)) .Values.controller.electionID -}}
{{- end -}}

{{- define "ingress-nginx.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ingress-nginx.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ingress-nginx.admissionWebhooks.fullname" -}}
{{- printf "%s-%s" (include "ingress-nginx.fullname" .) .Values.controller.admissionWebhooks.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The ConfigMap with the split config, 63 characters at most. */}}
{{- define "ingress-nginx.multiCluster.fullname" -}}
{{- printf "%s-multicluster" (include "ingress-nginx.fullname" . | trunc 50 | trimSuffix "-") -}}
{{- end -}}

{{/* The Secret in which our controller keeps the webhook's certificates. */}}
{{- define "ingress-nginx.admissionWebhooks.secret" -}}
{{- printf "%s-tls" (include "ingress-nginx.admissionWebhooks.fullname" . | trunc 59 | trimSuffix "-") -}}
{{- end -}}

{{- define "ingress-nginx.defaultBackend.fullname" -}}
{{- printf "%s-%s" (include "ingress-nginx.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ingress-nginx.defaultBackend.serviceAccountName" -}}
{{- if .Values.defaultBackend.serviceAccount.create -}}
{{- default (printf "%s-backend" (include "ingress-nginx.fullname" .)) .Values.defaultBackend.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.defaultBackend.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ingress-nginx.publishService" -}}
{{- $own := printf "$(POD_NAMESPACE)/%s" (include "ingress-nginx.controller.fullname" .) -}}
{{- if and .Values.controller.service.internal.enabled (not .Values.controller.service.external.enabled) -}}
{{- $own = printf "%s-internal" $own -}}
{{- end -}}
{{- default $own .Values.controller.publishService.pathOverride -}}
{{- end -}}

{{- define "ingress-nginx.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ingress-nginx.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "ingress-nginx.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ingress-nginx.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "ingress-nginx.name" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: list of context, name, component, more labels, annotations */}}
{{- define "ingress-nginx.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := include "ingress-nginx.labels" $root | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/component" (index . 2) -}}
{{- $more := index . 3 | default dict -}}
{{- $annotations := index . 4 | default dict -}}
name: {{ index . 1 | quote }}
namespace: {{ include "ingress-nginx.namespace" $root | quote }}
labels: {{- toYaml (merge $labels $more) | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same for an object without a namespace. */}}
{{- define "ingress-nginx.clusterMetadata" -}}
{{- omit (include "ingress-nginx.metadata" . | fromYaml) "namespace" | toYaml -}}
{{- end -}}

{{/* A text that may hold a template: list of context, value. Whole numbers lose the form of floats. */}}
{{- define "ingress-nginx.text" -}}
{{- $root := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "float64" $value -}}{{- $value = toJson $value -}}{{- end -}}
{{- $value = toString $value -}}
{{- if and $root.Values.controller.expandTemplates (contains "{{" $value) -}}{{- tpl $value $root -}}{{- else -}}{{- $value -}}{{- end -}}
{{- end -}}

{{/* A structure that may hold templates: list of context, value. */}}
{{- define "ingress-nginx.structure" -}}
{{- $text := index . 1 -}}
{{- if not (kindIs "string" $text) -}}{{- $text = toYaml $text -}}{{- end -}}
{{- include "ingress-nginx.text" (list (index . 0) $text) -}}
{{- end -}}

{{/* A map of texts as JSON: list of context, map. */}}
{{- define "ingress-nginx.texts" -}}
{{- $root := index . 0 -}}
{{- $result := dict -}}
{{- range $key, $value := index . 1 -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $result $key (include "ingress-nginx.text" (list $root $value)) -}}{{- end -}}
{{- end -}}
{{- toJson $result -}}
{{- end -}}
