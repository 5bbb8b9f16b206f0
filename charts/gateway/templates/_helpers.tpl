{{/* Lay the second map on the first, in place: maps merge, lists and scalars replace, and null stays, for Helm to delete a default with. */}}
{{- define "gateway.merge" -}}
{{- $into := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- $old := get $into $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $old) -}}
{{- include "gateway.merge" (list $old $value) -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.nginxName" -}}
{{- default (printf "%s-ingress" (.Release.Name | trunc 45 | trimSuffix "-")) .Values.nginxName -}}
{{- end -}}

{{/* The values that the fields of a Gateway stand for, as JSON. */}}
{{- define "gateway.mapped" -}}
{{- $fullname := include "gateway.fullname" . -}}
{{- $scope := .Values.controller.scope -}}
{{- $class := .Values.ingressClass.name | default "nginx" -}}
{{- $classless := get .Values.ingressClass "default" -}}
{{- if not (kindIs "bool" $classless) -}}{{- $classless = or $scope.enabled (eq $class "nginx") -}}{{- end -}}
{{- $type := .Values.service.type | default "LoadBalancer" -}}
{{- $override := dig "controller" "service" "type" "" (.Values.values | default dict) -}}
{{- $podAnnotations := dict -}}
{{- $mesh := get (.Values.deployment.annotations | default dict) "servicemesh.kubesphere.io/enabled" -}}
{{- if ne (toString $mesh) "" -}}{{- $_ := set $podAnnotations "sidecar.istio.io/inject" (toString $mesh) -}}{{- end -}}
{{- $selector := dict "app.kubernetes.io/name" "ingress-nginx" "app.kubernetes.io/instance" (include "gateway.nginxName" .) "app.kubernetes.io/component" "controller" -}}
{{- $spread := dict "weight" 100 "podAffinityTerm" (dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $selector)) -}}
{{- $controller := dict
  "name" ""
  "kind" "Deployment"
  "replicaCount" .Values.deployment.replicas
  "annotations" (.Values.deployment.annotations | default dict)
  "podAnnotations" $podAnnotations
  "resources" (.Values.deployment.resources | default dict)
  "config" (.Values.controller.config | default dict)
  "electionID" (printf "ingress-controller-leader-%s" $fullname)
  "ingressClass" $class
  "ingressClassByName" ($scope.enabled | default false)
  "watchIngressWithoutClass" $classless
  "ingressClassResource" (dict "enabled" (not $scope.enabled) "name" $class "controllerValue" (printf "gateway.kubesphere.io/%s.%s" .Release.Namespace $fullname))
  "scope" (dict "enabled" ($scope.enabled | default false) "namespace" ($scope.namespace | default ""))
  "publishService" (dict "enabled" (eq (default $type $override) "LoadBalancer"))
  "service" (dict "type" $type "annotations" (.Values.service.annotations | default dict))
  "affinity" (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $spread)))
  "minAvailable" 1
  "autoscaling" (dict "enabled" false)
  "admissionWebhooks" (dict "enabled" false)
  "metrics" (dict "enabled" true "serviceMonitor" (dict "enabled" (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) "prometheusRule" (dict "enabled" false))
-}}
{{- dict "fullnameOverride" $fullname "controller" $controller "rbac" (dict "scope" ($scope.enabled | default false)) "tcp" (.Values.controller.tcp | default dict) "udp" (.Values.controller.udp | default dict) | toJson -}}
{{- end -}}
