{{- define "gateway-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway-operator.fullname" -}}
{{- $name := include "gateway-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gateway-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "gateway-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gateway-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "gateway-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{ include "gateway-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gateway-operator
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end -}}

{{- define "gateway-operator.tag" -}}
{{- default .Chart.AppVersion (toString .Values.image.tag) -}}
{{- end -}}

{{- define "gateway-operator.image" -}}
{{- with .Values.image.digest -}}
{{- printf "%s@%s" $.Values.image.repository . -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (include "gateway-operator.tag" .) -}}
{{- end -}}
{{- end -}}

{{/* The namespace of cluster gateways. */}}
{{- define "gateway-operator.workingNamespace" -}}
{{- default "kubesphere-controls-system" .Values.gateway.namespace -}}
{{- end -}}

{{/* The settings file; the section gateway has the names that KubeSphere's users know. */}}
{{- define "gateway-operator.config" -}}
gateway:
  watchesPath: {{ .Values.gateway.watchesPath | quote }}
  namespace: {{ .Values.gateway.namespace | quote }}
  repository: {{ default .Values.image.repository .Values.gateway.repository | quote }}
  {{- if .Values.gateway.repository }}
  tag: {{ .Values.gateway.tag | toString | quote }}
  {{- else }}
  tag: {{ default (include "gateway-operator.tag" .) (toString .Values.gateway.tag) | quote }}
  {{- end }}
clusters:
  enabled: {{ .Values.clusters.enabled }}
  region: {{ .Values.clusters.region | toString | quote }}
  zone: {{ .Values.clusters.zone | toString | quote }}
leaseNamespace: {{ .Release.Namespace | quote }}
deployment: {{ include "gateway-operator.fullname" . | quote }}
leaderElect: true
adoptCrds: {{ .Values.adoptCrds }}
watchNamespaces: {{ toJson .Values.watchNamespaces }}
maxConcurrentReconciles: {{ .Values.maxConcurrentReconciles }}
reconcilePeriod: {{ .Values.reconcilePeriod }}
helmTimeout: {{ .Values.helmTimeout }}
historyMax: {{ .Values.historyMax }}
metricsBindAddress: ":8080"
healthProbeBindAddress: ":8081"
logLevel: {{ .Values.logLevel | quote }}
logJson: {{ .Values.logJson }}
{{- end -}}
