{{/* The flags of the controller, as a YAML list; both images take the same. */}}
{{- define "ingress-nginx.flags" -}}
{{- $c := .Values.controller -}}
{{- $native := include "ingress-nginx.native" . -}}
{{- $fullname := include "ingress-nginx.controller.fullname" . -}}
{{- if .Values.defaultBackend.enabled }}
- --default-backend-service=$(POD_NAMESPACE)/{{ include "ingress-nginx.defaultBackend.fullname" . }}
{{- end }}
{{- if and $c.publishService.enabled $c.service.enabled }}
- --publish-service={{ include "ingress-nginx.publishService" . }}
{{- end }}
- --election-id={{ include "ingress-nginx.electionID" . }}
- --controller-class={{ $c.ingressClassResource.controllerValue }}
{{- with $c.ingressClass }}
- --ingress-class={{ . }}
{{- end }}
- --configmap={{ default "$(POD_NAMESPACE)" $c.configMapNamespace }}/{{ $fullname }}
{{- if .Values.tcp }}
- --tcp-services-configmap={{ default "$(POD_NAMESPACE)" $c.tcp.configMapNamespace }}/{{ include "ingress-nginx.fullname" . }}-tcp
{{- end }}
{{- if .Values.udp }}
- --udp-services-configmap={{ default "$(POD_NAMESPACE)" $c.udp.configMapNamespace }}/{{ include "ingress-nginx.fullname" . }}-udp
{{- end }}
{{- if $c.scope.enabled }}
- --watch-namespace={{ default "$(POD_NAMESPACE)" $c.scope.namespace }}
{{- else if $c.scope.namespaceSelector }}
- --watch-namespace-selector={{ $c.scope.namespaceSelector }}
{{- end }}
{{- if and $c.reportNodeInternalIp $c.hostNetwork }}
- --report-node-internal-ip-address={{ $c.reportNodeInternalIp }}
{{- end }}
{{- if include "ingress-nginx.webhook" . }}
- --validating-webhook=:{{ $c.admissionWebhooks.port }}
- --validating-webhook-certificate={{ $c.admissionWebhooks.certificate }}
- --validating-webhook-key={{ $c.admissionWebhooks.key }}
{{- end }}
{{- with $c.maxmindLicenseKey }}
- --maxmind-license-key={{ . }}
{{- end }}
{{- with $c.healthCheckHost }}
- --healthz-host={{ . }}
{{- end }}
{{- if ne $c.healthCheckPath "/healthz" }}
- --health-check-path={{ $c.healthCheckPath }}
{{- end }}
{{- if $c.ingressClassByName }}
- --ingress-class-by-name=true
{{- end }}
{{- if $c.watchIngressWithoutClass }}
- --watch-ingress-without-class=true
{{- end }}
{{- if not $c.enableAnnotationValidations }}
- --enable-annotation-validation=false
{{- end }}
{{- if $c.enableTopologyAwareRouting }}
- --enable-topology-aware-routing=true
{{- end }}
{{- if $c.disableLeaderElection }}
- --disable-leader-election=true
{{- end }}
{{- with $c.electionTTL }}
- --election-ttl={{ . }}
{{- end }}
{{- if $c.metrics.enabled }}
- --enable-metrics={{ $c.metrics.enabled }}
{{- end }}
{{- if $native }}
{{- if and (ne (int $c.containerPort.http) 80) (not (hasKey $c.extraArgs "http-port")) }}
- --http-port={{ $c.containerPort.http }}
{{- end }}
{{- if and (ne (int $c.containerPort.https) 443) (not (hasKey $c.extraArgs "https-port")) }}
- --https-port={{ $c.containerPort.https }}
{{- end }}
{{- if ne (int $c.statusPort) 10246 }}
- --status-port={{ $c.statusPort }}
{{- end }}
{{- end }}
{{- range $key, $value := $c.extraArgs }}
- --{{ $key }}{{ if and (not (kindIs "invalid" $value)) (ne (toString $value) "") }}={{ include "ingress-nginx.text" (list $ $value) }}{{ end }}
{{- end }}
{{- end -}}
