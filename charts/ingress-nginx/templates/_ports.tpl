{{/* Ports of the container that carries the traffic. */}}
{{- define "ingress-nginx.trafficPorts" -}}
{{- $c := .Values.controller -}}
{{- $prefix := ternary (printf "%s-" .Values.portNamePrefix) "" (ne .Values.portNamePrefix "") -}}
{{- range $name, $port := $c.containerPort }}
- name: {{ $name | quote }}
  containerPort: {{ $port }}
  protocol: TCP
  {{- if $c.hostNetwork }}
  hostPort: {{ $port }}
  {{- else if $c.hostPort.enabled }}
  hostPort: {{ default $port (index $c.hostPort.ports $name) }}
  {{- end }}
{{- end }}
{{- range $port, $_ := .Values.tcp }}
- name: {{ printf "%s%v-tcp" $prefix $port | quote }}
  containerPort: {{ $port }}
  protocol: TCP
  {{- if or $c.hostNetwork $c.hostPort.enabled }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
{{- range $port, $_ := .Values.udp }}
- name: {{ printf "%s%v-udp" $prefix $port | quote }}
  containerPort: {{ $port }}
  protocol: UDP
  {{- if or $c.hostNetwork $c.hostPort.enabled }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Ports of the controller: metrics and the webhook. */}}
{{- define "ingress-nginx.controllerPorts" -}}
{{- $c := .Values.controller -}}
{{- if $c.metrics.enabled }}
- name: {{ $c.metrics.portName | quote }}
  containerPort: {{ $c.metrics.port }}
  protocol: TCP
{{- end }}
{{- if include "ingress-nginx.webhook" . }}
- name: webhook
  containerPort: {{ $c.admissionWebhooks.port }}
  protocol: TCP
{{- end }}
{{- end -}}

{{/* Where the controller of our image answers probes and the operator. */}}
{{- define "ingress-nginx.healthPort" -}}
{{- get .Values.controller.extraArgs "healthz-port" | default 10254 -}}
{{- end -}}
