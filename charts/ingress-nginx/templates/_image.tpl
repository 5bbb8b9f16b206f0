{{/* The name of an image without tag: list of context, image values. */}}
{{- define "ingress-nginx.imageName" -}}
{{- $image := index . 1 -}}
{{- if $image.repository -}}
{{- $image.repository -}}
{{- else -}}
{{- $registry := default (index . 0).Values.global.image.registry $image.registry -}}
{{- ternary (printf "%s/%s" $registry $image.image) $image.image (ne $registry "") -}}
{{- end -}}
{{- end -}}

{{- define "ingress-nginx.controller.image" -}}
{{- $image := .Values.controller.image -}}
{{- $name := include "ingress-nginx.imageName" (list . $image) -}}
{{- $digest := ternary $image.digestChroot $image.digest $image.chroot -}}
{{- if $image.chroot -}}{{- $name = printf "%s-chroot" $name -}}{{- end -}}
{{- $tag := toString $image.tag -}}
{{- if and (eq $tag "") (eq $digest "") -}}{{- $tag = .Chart.AppVersion -}}{{- end -}}
{{- $name -}}{{- if $tag -}}:{{ $tag }}{{- end -}}{{- if $digest -}}@{{ $digest }}{{- end -}}
{{- end -}}

{{- define "ingress-nginx.defaultBackend.image" -}}
{{- $image := .Values.defaultBackend.image -}}
{{- include "ingress-nginx.imageName" (list . $image) -}}{{- with $image.tag -}}:{{ . }}{{- end -}}{{- with $image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{/* "true" when the pod runs our image: two containers, our controller beside nginx. */}}
{{- define "ingress-nginx.native" -}}
{{- $plane := .Values.controller.dataPlane -}}
{{- if eq $plane "auto" -}}
{{- if contains "gateway-operator" (include "ingress-nginx.imageName" (list . .Values.controller.image) | splitList "/" | last) -}}true{{- end -}}
{{- else if eq $plane "native" -}}true{{- end -}}
{{- end -}}

{{/* "true" when the admission webhook is there. */}}
{{- define "ingress-nginx.webhook" -}}
{{- if .Values.controller.admissionWebhooks.enabled -}}true{{- end -}}
{{- end -}}

{{/* "true" when our controller makes the webhook's certificates itself. */}}
{{- define "ingress-nginx.webhookOwn" -}}
{{- $w := .Values.controller.admissionWebhooks -}}
{{- if and $w.enabled (include "ingress-nginx.native" .) (not $w.certManager.enabled) (not $w.caBundle) -}}true{{- end -}}
{{- end -}}

{{/* "true" when there are, or may be, at least two pods. */}}
{{- define "ingress-nginx.several" -}}
{{- $c := .Values.controller -}}
{{- $least := $c.replicaCount -}}
{{- if $c.keda.enabled -}}{{- $least = $c.keda.minReplicas -}}{{- else if $c.autoscaling.enabled -}}{{- $least = $c.autoscaling.minReplicas -}}{{- end -}}
{{- if gt (int $least) 1 -}}true{{- end -}}
{{- end -}}
