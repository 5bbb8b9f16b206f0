{{/* The flags of the controller, as a YAML list; both images take the same. Each is quoted: no value can become a second flag. */}}
{{- define "ingress-nginx.flags" -}}
{{- $c := .Values.controller -}}
{{- $fullname := include "ingress-nginx.controller.fullname" . -}}
{{- $flags := list -}}
{{- if .Values.defaultBackend.enabled -}}
{{- $flags = append $flags (printf "default-backend-service=$(POD_NAMESPACE)/%s" (include "ingress-nginx.defaultBackend.fullname" .)) -}}
{{- end -}}
{{- if and $c.publishService.enabled $c.service.enabled -}}
{{- $flags = append $flags (printf "publish-service=%s" (include "ingress-nginx.publishService" .)) -}}
{{- end -}}
{{- $flags = append $flags (printf "election-id=%s" (include "ingress-nginx.electionID" .)) -}}
{{- $flags = append $flags (printf "controller-class=%s" $c.ingressClassResource.controllerValue) -}}
{{- with $c.ingressClass -}}{{- $flags = append $flags (printf "ingress-class=%s" .) -}}{{- end -}}
{{- $flags = append $flags (printf "configmap=%s/%s" (default "$(POD_NAMESPACE)" $c.configMapNamespace) $fullname) -}}
{{- range $protocol := list "tcp" "udp" -}}
{{- if get $.Values $protocol -}}
{{- $namespace := default "$(POD_NAMESPACE)" (get $c $protocol).configMapNamespace -}}
{{- $flags = append $flags (printf "%s-services-configmap=%s/%s-%s" $protocol $namespace (include "ingress-nginx.fullname" $) $protocol) -}}
{{- end -}}
{{- end -}}
{{- if $c.scope.enabled -}}
{{- $flags = append $flags (printf "watch-namespace=%s" (default "$(POD_NAMESPACE)" $c.scope.namespace)) -}}
{{- else if $c.scope.namespaceSelector -}}
{{- $flags = append $flags (printf "watch-namespace-selector=%s" $c.scope.namespaceSelector) -}}
{{- end -}}
{{- if and $c.reportNodeInternalIp $c.hostNetwork -}}{{- $flags = append $flags "report-node-internal-ip-address=true" -}}{{- end -}}
{{- if include "ingress-nginx.webhook" . -}}
{{- $flags = append $flags (printf "validating-webhook=:%v" $c.admissionWebhooks.port) -}}
{{- if include "ingress-nginx.webhookOwn" . -}}
{{- $flags = append $flags (printf "validating-webhook-secret=%s" (include "ingress-nginx.admissionWebhooks.secret" .)) -}}
{{- $flags = append $flags (printf "validating-webhook-configuration=%s" (include "ingress-nginx.admissionWebhooks.fullname" .)) -}}
{{- else -}}
{{- $flags = append $flags (printf "validating-webhook-certificate=%s" $c.admissionWebhooks.certificate) -}}
{{- $flags = append $flags (printf "validating-webhook-key=%s" $c.admissionWebhooks.key) -}}
{{- end -}}
{{- end -}}
{{- with $c.maxmindLicenseKey -}}{{- $flags = append $flags (printf "maxmind-license-key=%s" .) -}}{{- end -}}
{{- with $c.healthCheckHost -}}{{- $flags = append $flags (printf "healthz-host=%s" .) -}}{{- end -}}
{{- if ne $c.healthCheckPath "/healthz" -}}{{- $flags = append $flags (printf "health-check-path=%s" $c.healthCheckPath) -}}{{- end -}}
{{- if $c.ingressClassByName -}}{{- $flags = append $flags "ingress-class-by-name=true" -}}{{- end -}}
{{- if $c.watchIngressWithoutClass -}}{{- $flags = append $flags "watch-ingress-without-class=true" -}}{{- end -}}
{{- if not $c.enableAnnotationValidations -}}{{- $flags = append $flags "enable-annotation-validation=false" -}}{{- end -}}
{{- if $c.enableTopologyAwareRouting -}}{{- $flags = append $flags "enable-topology-aware-routing=true" -}}{{- end -}}
{{- if $c.disableLeaderElection -}}{{- $flags = append $flags "disable-leader-election=true" -}}{{- end -}}
{{- with $c.electionTTL -}}{{- $flags = append $flags (printf "election-ttl=%v" .) -}}{{- end -}}
{{- if $c.metrics.enabled -}}{{- $flags = append $flags "enable-metrics=true" -}}{{- end -}}
{{- if include "ingress-nginx.native" . -}}
{{- /* also without such a config: the first policy mustn't restart the pods */ -}}
{{- $flags = append $flags (printf "multi-cluster-configmap=$(POD_NAMESPACE)/%s" (include "ingress-nginx.multiCluster.fullname" .)) -}}
{{- range $name, $usual := dict "http" 80 "https" 443 -}}
{{- $port := int (get $c.containerPort $name) -}}
{{- $flag := printf "%s-port" $name -}}
{{- if and (ne $port $usual) (not (hasKey $c.extraArgs $flag)) -}}{{- $flags = append $flags (printf "%s=%d" $flag $port) -}}{{- end -}}
{{- end -}}
{{- if ne (int $c.statusPort) 10246 -}}{{- $flags = append $flags (printf "status-port=%d" (int $c.statusPort)) -}}{{- end -}}
{{- end -}}
{{- range $key, $value := $c.extraArgs -}}
{{- $text := ternary "" (include "ingress-nginx.text" (list $ $value)) (kindIs "invalid" $value) -}}
{{- $flags = append $flags (ternary $key (printf "%s=%s" $key $text) (eq $text "")) -}}
{{- end -}}
{{- range $flags }}
- {{ printf "--%s" . | quote }}
{{- end }}
{{- end -}}
