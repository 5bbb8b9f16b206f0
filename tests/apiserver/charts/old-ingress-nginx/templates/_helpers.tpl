{{- define "old.fullname" -}}
{{- if .Values.fullnameOverride -}}{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}{{- .Release.Name -}}
{{- else -}}{{- printf "%s-%s" .Release.Name .Chart.Name -}}{{- end -}}
{{- end -}}
{{- define "old.controller" -}}
{{- printf "%s-%s" (include "old.fullname" .) .Values.controller.name | trimSuffix "-" -}}
{{- end -}}
{{- define "old.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}
{{- define "old.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "old.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- if .Values.owner }}
helm.sdk.operatorframework.io/chart: {{ .Chart.Name }}
{{- end }}
{{- end -}}
{{- define "old.owner" -}}
{{- with .Values.owner }}
ownerReferences: {{- list . | toYaml | nindent 2 }}
{{- end }}
{{- end -}}
