{{/* A NetworkPolicy's egress rule to the cluster's DNS. */}}
{{- define "hoa.egressDNS" -}}
- to:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.networkPolicies.dnsNamespaceSelector | nindent 10 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{/* Peers by address; without any, every address. Call with a list. */}}
{{- define "hoa.cidrs" -}}
{{- range . | default (list "0.0.0.0/0" "::/0") }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* TCP ports of a rule, each once. Call with a list. */}}
{{- define "hoa.tcp" -}}
{{- $seen := dict }}
{{- range . }}
{{- $port := . | int | toString }}
{{- if not (hasKey $seen $port) }}
{{- $_ := set $seen $port true }}
- {protocol: TCP, port: {{ $port }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "hoa.egressPostgres" -}}
{{- if .Values.postgres.enabled }}
- to:
    - podSelector:
        matchLabels:
          {{- include "hoa.selector" (dict "root" . "component" "postgres") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 5432}
{{- end }}
{{- if or (not .Values.postgres.enabled) .Values.networkPolicies.postgresCIDRs }}
- to:
    {{- include "hoa.cidrs" .Values.networkPolicies.postgresCIDRs | trim | nindent 4 }}
  ports:
    {{- include "hoa.tcp" (append .Values.networkPolicies.postgresPorts (include "hoa.postgresPort" .)) | trim | nindent 4 }}
{{- end }}
{{- end }}

{{- define "hoa.egressKubernetes" -}}
- to:
    {{- include "hoa.cidrs" .Values.networkPolicies.kubernetesApi.cidrs | trim | nindent 4 }}
  ports:
    {{- include "hoa.tcp" .Values.networkPolicies.kubernetesApi.ports | trim | nindent 4 }}
{{- end }}

{{- define "hoa.mailPort" -}}
{{- $url := urlParse .Values.mail.smtpUrl -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{ $port | default (ternary "465" "25" (eq $url.scheme "smtps")) }}
{{- end }}

{{/* What the app and the worker reach beside Postgres. */}}
{{- define "hoa.egressServices" -}}
{{- if .Values.mail.smtpUrl }}
- to:
    {{- include "hoa.cidrs" .Values.networkPolicies.mailCIDRs | trim | nindent 4 }}
    {{- if not .Values.networkPolicies.mailCIDRs }}
    - namespaceSelector: {}
    {{- end }}
  ports:
    {{- include "hoa.tcp" (list (include "hoa.mailPort" .)) | trim | nindent 4 }}
{{- end }}
{{- if not (hasPrefix "file://" .Values.files.url) }}
- to:
    {{- include "hoa.cidrs" .Values.networkPolicies.storageCIDRs | trim | nindent 4 }}
  ports:
    {{- include "hoa.tcp" .Values.networkPolicies.storagePorts | trim | nindent 4 }}
{{- end }}
{{- end }}

{{- define "hoa.ingressMetrics" -}}
- from:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.monitoring.namespaceSelector | nindent 10 }}
  ports:
    - {protocol: TCP, port: 9090}
{{- end }}

{{- define "hoa.ingressController" -}}
- from:
    - namespaceSelector:
        matchLabels:
          {{- toYaml .Values.ingress.namespaceSelector | nindent 10 }}
    {{- range .Values.ingress.controllerCIDRs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    - {protocol: TCP, port: 8000}
{{- end }}

{{/* Head of a policy for the pods of one component; call with (dict "root" $ "component" "app"). */}}
{{- define "hoa.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "hoa.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "hoa.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end }}
