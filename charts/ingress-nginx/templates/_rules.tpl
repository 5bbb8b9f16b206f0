{{/* What the controller reads and writes where it serves: a ClusterRole for all namespaces, or a Role for one. */}}
{{- define "ingress-nginx.servingRules" -}}
- apiGroups: [""]
  resources: [secrets, services]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
{{- if ne (toString (get .Values.controller.extraArgs "update-status")) "false" }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [get, patch, update]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: {{ ternary "[configmaps]" "[configmaps, endpoints, pods]" (ne (include "ingress-nginx.native" .) "") }}
  verbs: [get, list, watch]
{{- end -}}

{{/* What can only be read cluster-wide; a project gateway has none of it. */}}
{{- define "ingress-nginx.clusterRules" -}}
{{- if not (and .Values.controller.ingressClassByName (not .Values.controller.ingressClassResource.enabled)) }}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
{{- end }}
{{- if or .Values.controller.reportNodeInternalIp (not .Values.controller.publishService.enabled) (not (include "ingress-nginx.native" .)) }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end }}
{{- if include "ingress-nginx.webhookOwn" . }}
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  resourceNames: [{{ include "ingress-nginx.admissionWebhooks.fullname" . | quote }}]
  verbs: [get, patch]
{{- end }}
{{- /* grants of hosts and services are annotations of Namespaces */}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- if not (include "ingress-nginx.native" .) }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{/* What the controller needs of its own namespace: its ConfigMap, its pods and Service for the status, its lease. */}}
{{- define "ingress-nginx.homeRules" -}}
- apiGroups: [""]
  resources: [configmaps, pods, services]
  verbs: [get, list, watch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "ingress-nginx.electionID" . | quote }}]
  verbs: [get, patch, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- if include "ingress-nginx.webhookOwn" . }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "ingress-nginx.admissionWebhooks.secret" . | quote }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- if not (include "ingress-nginx.native" .) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [""]
  resources: [secrets, endpoints]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}
