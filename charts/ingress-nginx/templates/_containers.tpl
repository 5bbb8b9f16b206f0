{{/* A security context: list of the fixed one, and what the values put over it. */}}
{{- define "ingress-nginx.securityContext" -}}
{{- $context := index . 0 -}}
{{- range $key, $value := index . 1 -}}{{- $_ := set $context $key $value -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "ingress-nginx.podEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end -}}

{{/* The two containers of our image. Only the controller has a token; nginx, which strangers talk to, has none and runs as another user. */}}
{{- define "ingress-nginx.nativeContainers" -}}
{{- $c := .Values.controller -}}
{{- $drop := dict "drop" (list "ALL") -}}
{{- $restricted := dict "runAsNonRoot" true "runAsGroup" 101 "readOnlyRootFilesystem" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- $own := merge (dict "runAsUser" 10001 "allowPrivilegeEscalation" false "capabilities" $drop) $restricted -}}
{{- /* the binary carries this capability, and the kernel refuses to start it where it is out of bounds; it takes effect
only with privilege escalation, which the node's own ports below 1024 need */}}
{{- $bind := dict "drop" (list "ALL") "add" (list "NET_BIND_SERVICE") -}}
{{- $nginx := merge (dict "runAsUser" 101 "allowPrivilegeEscalation" $c.hostNetwork "capabilities" $bind) $restricted -}}
- name: controller
  image: {{ include "ingress-nginx.controller.image" . | quote }}
  imagePullPolicy: {{ $c.image.pullPolicy | quote }}
  args:
    - ingress
    {{- include "ingress-nginx.flags" . | trim | nindent 4 }}
  env:
    {{- include "ingress-nginx.podEnv" . | nindent 4 }}
    - name: GATEWAY_NAME
      value: {{ include "ingress-nginx.controller.fullname" . | quote }}
    - name: GATEWAY_SCOPE
      value: {{ ternary "project" "cluster" $c.scope.enabled }}
    {{- with $c.extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "ingress-nginx.controllerPorts" . | trim }}
  ports:
    {{- . | nindent 4 }}
  {{- end }}
  {{- $liveness := deepCopy $c.livenessProbe }}
  {{- $readiness := deepCopy $c.readinessProbe }}
  {{- if eq (dig "httpGet" "path" "" $readiness) "/healthz" }}
  {{- $_ := set $readiness.httpGet "path" "/readyz" }}
  {{- end }}
  livenessProbe: {{- toYaml $liveness | nindent 4 }}
  readinessProbe: {{- toYaml $readiness | nindent 4 }}
  {{- with $c.startupProbe }}
  startupProbe: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $c.lifecycle (not (contains "/wait-shutdown" (toJson $c.lifecycle))) }}
  lifecycle: {{- toYaml $c.lifecycle | nindent 4 }}
  {{- end }}
  resources: {{- toYaml $c.controllerResources | nindent 4 }}
  securityContext: {{- include "ingress-nginx.securityContext" (list $own $c.containerSecurityContext) | nindent 4 }}
  volumeMounts:
    - name: run
      mountPath: /run/gateway
    - name: controller-tmp
      mountPath: /tmp
    - name: token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- if and (include "ingress-nginx.webhook" .) (not (include "ingress-nginx.webhookOwn" .)) }}
    - name: webhook-cert
      mountPath: {{ dir $c.admissionWebhooks.certificate | quote }}
      readOnly: true
    {{- end }}
    {{- with $c.extraVolumeMounts }}
    {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
    {{- end }}
- name: nginx
  image: {{ include "ingress-nginx.controller.image" . | quote }}
  imagePullPolicy: {{ $c.image.pullPolicy | quote }}
  args:
    - nginx
    - --shutdown-grace-period={{ $c.shutdownGracePeriodSeconds }}
    {{- if ne (int $c.statusPort) 10246 }}
    - --status-port={{ $c.statusPort }}
    {{- end }}
  env:
    {{- include "ingress-nginx.podEnv" . | nindent 4 }}
  ports:
    {{- include "ingress-nginx.trafficPorts" . | trim | nindent 4 }}
  {{- with $c.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.resizePolicy }}
  resizePolicy: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- include "ingress-nginx.securityContext" (list $nginx $c.containerSecurityContext) | nindent 4 }}
  volumeMounts:
    - name: run
      mountPath: /run/gateway
    - name: nginx-tmp
      mountPath: /tmp
{{- end -}}

{{/* The one container of the upstream image. */}}
{{- define "ingress-nginx.upstreamContainer" -}}
{{- $c := .Values.controller -}}
{{- $image := $c.image -}}
{{- $capabilities := list "NET_BIND_SERVICE" -}}
{{- if $image.chroot -}}{{- $capabilities = append $capabilities "SYS_CHROOT" -}}{{- end -}}
{{- $context := dict
  "runAsNonRoot" $image.runAsNonRoot
  "runAsUser" $image.runAsUser
  "runAsGroup" $image.runAsGroup
  "allowPrivilegeEscalation" (or $image.allowPrivilegeEscalation $image.chroot)
  "readOnlyRootFilesystem" $image.readOnlyRootFilesystem
  "seccompProfile" (ternary (dict "type" "Unconfined") $image.seccompProfile $image.chroot)
  "capabilities" (dict "drop" (list "ALL") "add" $capabilities)
-}}
- name: {{ $c.containerName | quote }}
  image: {{ include "ingress-nginx.controller.image" . | quote }}
  imagePullPolicy: {{ $image.pullPolicy | quote }}
  args:
    - /nginx-ingress-controller
    {{- include "ingress-nginx.flags" . | trim | nindent 4 }}
  env:
    {{- include "ingress-nginx.podEnv" . | nindent 4 }}
    {{- if $c.enableMimalloc }}
    - name: LD_PRELOAD
      value: /usr/local/lib/libmimalloc.so
    {{- end }}
    {{- with $c.extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- include "ingress-nginx.trafficPorts" . | trim | nindent 4 }}
    {{- with include "ingress-nginx.controllerPorts" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  lifecycle: {{- toYaml ($c.lifecycle | default (dict "preStop" (dict "exec" (dict "command" (list "/wait-shutdown"))))) | nindent 4 }}
  livenessProbe: {{- toYaml $c.livenessProbe | nindent 4 }}
  readinessProbe: {{- toYaml $c.readinessProbe | nindent 4 }}
  {{- with $c.startupProbe }}
  startupProbe: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.resizePolicy }}
  resizePolicy: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- include "ingress-nginx.securityContext" (list $context $c.containerSecurityContext) | nindent 4 }}
  {{- if or (include "ingress-nginx.webhook" .) $c.customTemplate.configMapName $c.extraVolumeMounts }}
  volumeMounts:
    {{- if include "ingress-nginx.webhook" . }}
    - name: webhook-cert
      mountPath: {{ dir $c.admissionWebhooks.certificate | quote }}
      readOnly: true
    {{- end }}
    {{- if $c.customTemplate.configMapName }}
    - name: nginx-template-volume
      mountPath: /etc/nginx/template
      readOnly: true
    {{- end }}
    {{- with $c.extraVolumeMounts }}
    {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
