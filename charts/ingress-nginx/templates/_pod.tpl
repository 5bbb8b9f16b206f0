{{/* The pod template of the controller, for both kinds of workload. */}}
{{- define "ingress-nginx.podTemplate" -}}
{{- $c := .Values.controller -}}
{{- $native := include "ingress-nginx.native" . -}}
{{- $labels := include "ingress-nginx.labels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/component" "controller" -}}
metadata:
  labels: {{- toYaml (merge $labels $c.podLabels) | nindent 4 }}
  {{- with $c.podAnnotations }}
  annotations: {{- include "ingress-nginx.texts" (list $ .) | fromJson | toYaml | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "ingress-nginx.serviceAccountName" . }}
  automountServiceAccountToken: {{ ternary false .Values.serviceAccount.automountServiceAccountToken (ne $native "") }}
  terminationGracePeriodSeconds: {{ $c.terminationGracePeriodSeconds }}
  {{- if and $c.hostNetwork (eq $c.dnsPolicy "ClusterFirst") }}
  dnsPolicy: ClusterFirstWithHostNet
  {{- else }}
  dnsPolicy: {{ $c.dnsPolicy | quote }}
  {{- end }}
  {{- if $c.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $c.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with $c.schedulerName }}
  schedulerName: {{ . | quote }}
  {{- end }}
  {{- if and $c.shareProcessNamespace (not $native) }}
  shareProcessNamespace: true
  {{- end }}
  {{- with $c.hostname }}
  hostname: {{ . | quote }}
  {{- end }}
  {{- with $c.hostAliases }}
  hostAliases: {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
  {{- end }}
  {{- with $c.dnsConfig }}
  dnsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.affinity }}
  affinity: {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
  {{- end }}
  {{- with $c.topologySpreadConstraints }}
  topologySpreadConstraints: {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
  {{- end }}
  {{- with include "ingress-nginx.podSecurityContext" . | fromYaml }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.extraInitContainers }}
  initContainers: {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
  {{- end }}
  containers:
    {{- if $native }}
    {{- include "ingress-nginx.nativeContainers" . | trim | nindent 4 }}
    {{- else }}
    {{- include "ingress-nginx.upstreamContainer" . | trim | nindent 4 }}
    {{- end }}
    {{- with $c.extraContainers }}
    {{- include "ingress-nginx.structure" (list $ .) | nindent 4 }}
    {{- end }}
  {{- with include "ingress-nginx.volumes" . | trim }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "ingress-nginx.podSecurityContext" -}}
{{- $c := .Values.controller -}}
{{- $sysctls := dict -}}
{{- if include "ingress-nginx.native" . -}}
{{- if not $c.hostNetwork -}}{{- $_ := set $sysctls "net.ipv4.ip_unprivileged_port_start" "0" -}}{{- end -}}
{{- end -}}
{{- range $name, $value := $c.sysctls -}}{{- $_ := set $sysctls $name (toString $value) -}}{{- end -}}
{{- $context := dict -}}
{{- if include "ingress-nginx.native" . -}}
{{- $context = dict "fsGroup" 101 "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- end -}}
{{- $list := list -}}
{{- range $name := keys $sysctls | sortAlpha -}}{{- $list = append $list (dict "name" $name "value" (get $sysctls $name)) -}}{{- end -}}
{{- if $list -}}{{- $_ := set $context "sysctls" $list -}}{{- end -}}
{{- range $key, $value := $c.podSecurityContext -}}{{- $_ := set $context $key $value -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "ingress-nginx.volumes" -}}
{{- $c := .Values.controller -}}
{{- if include "ingress-nginx.native" . }}
- name: run
  emptyDir:
    medium: Memory
- name: controller-tmp
  emptyDir: {}
- name: nginx-tmp
  emptyDir: {}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end }}
{{- if and (include "ingress-nginx.webhook" .) (not (include "ingress-nginx.webhookOwn" .)) }}
- name: webhook-cert
  secret:
    secretName: {{ include "ingress-nginx.admissionWebhooks.fullname" . }}
    {{- if $c.admissionWebhooks.certManager.enabled }}
    items:
      - key: tls.crt
        path: cert
      - key: tls.key
        path: key
    {{- end }}
{{- end }}
{{- if and $c.customTemplate.configMapName (not (include "ingress-nginx.native" .)) }}
- name: nginx-template-volume
  configMap:
    name: {{ $c.customTemplate.configMapName | quote }}
    items:
      - key: {{ $c.customTemplate.configMapKey | quote }}
        path: nginx.tmpl
{{- end }}
{{- with $c.extraVolumes }}
{{ include "ingress-nginx.structure" (list $ .) }}
{{- end }}
{{- end -}}
