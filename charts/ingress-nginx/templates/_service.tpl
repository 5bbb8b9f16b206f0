{{/* The spec of the controller's Service: list of context, service values. */}}
{{- define "ingress-nginx.serviceSpec" -}}
{{- $root := index . 0 -}}
{{- $s := index . 1 -}}
{{- $external := $root.Values.controller.service -}}
{{- $prefix := ternary (printf "%s-" $root.Values.portNamePrefix) "" (ne $root.Values.portNamePrefix "") -}}
{{- $type := default $external.type $s.type -}}
{{- $hasNodePorts := or (eq $type "NodePort") (eq $type "LoadBalancer") -}}
type: {{ $type | quote }}
{{- range $key := list "clusterIP" "loadBalancerIP" "loadBalancerClass" "externalTrafficPolicy" "internalTrafficPolicy" "trafficDistribution" "sessionAffinity" "ipFamilyPolicy" }}
{{- with get $s $key }}
{{ $key }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- range $key := list "clusterIPs" "externalIPs" "loadBalancerSourceRanges" "ipFamilies" "sessionAffinityConfig" }}
{{- with get $s $key }}
{{ $key }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- range $key := list "allocateLoadBalancerNodePorts" "healthCheckNodePort" }}
{{- $value := get $s $key }}
{{- if or (kindIs "bool" $value) (and (not (kindIs "string" $value)) $value) }}
{{ $key }}: {{ toJson $value }}
{{- end }}
{{- end }}
ports:
  {{- range $name, $enabled := dict "http" $external.enableHttp "https" $external.enableHttps }}
  {{- if $enabled }}
  - name: {{ $name }}
    port: {{ default (index $external.ports $name) (get $s.ports $name) | int }}
    protocol: TCP
    targetPort: {{ default (index $external.targetPorts $name) (get $s.targetPorts $name) | toJson }}
    {{- if $s.appProtocol }}
    appProtocol: {{ $name }}
    {{- end }}
    {{- if and $hasNodePorts (get $s.nodePorts $name) }}
    nodePort: {{ int (get $s.nodePorts $name) }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- range $protocol := list "tcp" "udp" }}
  {{- range $port, $_ := get $root.Values $protocol }}
  - name: {{ printf "%s%v-%s" $prefix $port $protocol | quote }}
    port: {{ $port }}
    protocol: {{ upper $protocol }}
    targetPort: {{ printf "%s%v-%s" $prefix $port $protocol | quote }}
    {{- with get (get $s.nodePorts $protocol | default dict) (toString $port) }}
    {{- if $hasNodePorts }}
    nodePort: {{ int . }}
    {{- end }}
    {{- end }}
  {{- end }}
  {{- end }}
selector:
  {{- include "ingress-nginx.selectorLabels" $root | nindent 2 }}
  app.kubernetes.io/component: controller
{{- end -}}
