{{/* Refuses what would install something else than was asked for. */}}
{{- define "ingress-nginx.check" -}}
{{- $c := .Values.controller -}}
{{- if and .Values.rbac.scope (not $c.scope.enabled) -}}
{{- fail "rbac.scope needs controller.scope.enabled: without it the controller watches all namespaces and needs a ClusterRole" -}}
{{- end -}}
{{- if and .Values.rbac.scope (include "ingress-nginx.webhookOwn" .) -}}
{{- fail "controller.admissionWebhooks with rbac.scope needs certManager.enabled or caBundle: without a ClusterRole the controller can't say which certificate is to be trusted" -}}
{{- end -}}
{{- if include "ingress-nginx.native" . -}}
{{- if and $c.scope.namespaceSelector (not $c.scope.enabled) -}}
{{- fail "controller.scope.namespaceSelector is not supported by the gateway's own image: serve one namespace with controller.scope.namespace, or all" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The values that are set and have no effect, one a line. */}}
{{- define "ingress-nginx.ignored" -}}
{{- $c := .Values.controller -}}
{{- if or (get $c "existingPsp") (get .Values.defaultBackend "existingPsp") }}
existingPsp (Kubernetes has no PodSecurityPolicy any more)
{{- end }}
{{- if include "ingress-nginx.native" . -}}
{{- if .Values.dhParam }}
dhParam
{{- end }}
{{- range $key := list "extraModules" "maxmindLicenseKey" "enableTopologyAwareRouting" "shareProcessNamespace" "allowSnippetAnnotations" }}
{{- if get $c $key }}
controller.{{ $key }}
{{- end }}
{{- end }}
{{- if $c.customTemplate.configMapName }}
controller.customTemplate
{{- end }}
{{- if $c.opentelemetry.enabled }}
controller.opentelemetry
{{- end }}
{{- if $c.image.chroot }}
controller.image.chroot
{{- end }}
{{- if not $c.enableAnnotationValidations }}
controller.enableAnnotationValidations
{{- end }}
{{- else -}}
{{- range $key := list "multiCluster" "statusExcludedNamespaces" }}
{{- if get $c $key }}
controller.{{ $key }}
{{- end }}
{{- end }}
{{- end -}}
{{- if $c.admissionWebhooks.patch }}
controller.admissionWebhooks.patch (there are no hook Jobs)
{{- end }}
{{- end -}}
