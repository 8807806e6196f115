{{/* A tenant's name as an alert shows it: the operator's where it is known, else the id. */}}
{{- define "hoa.alertTenant" -}}
{{ `{{ if not $labels.tenant_id }}(none){{ else }}{{ with printf "hoa_operator_tenant_info{tenant_id='%s'}" $labels.tenant_id | query }}{{ . | first | label "tenant" }}{{ else }}{{ $labels.tenant_id }}{{ end }}{{ end }}` }}
{{- end }}

{{/* The rules file: files/alerts with runbooks, the limit of connections and tenants' names put in. */}}
{{- define "hoa.alerts" -}}
{{- $alerts := .Values.monitoring.alerts }}
{{- /* The operator's pods have the pages with them, and serve them where Prometheus may ask. */}}
{{- $own := printf "http://%s-operator.%s.svc:9090/runbooks" .Release.Name .Release.Namespace }}
{{- $base := $alerts.runbookBaseURL | default $own }}
{{- $limit := $alerts.databaseConnections | int | toString }}
{{- $tenant := include "hoa.alertTenant" . }}
{{- $known := list }}
{{- $groups := list }}
{{- range $path, $_ := .Files.Glob "files/alerts/*.yaml" }}
{{- $file := $.Files.Get $path | fromYaml }}
{{- $rules := list }}
{{- range $file.rules }}
{{- $known = append $known .alert }}
{{- if not (has .alert $alerts.without) }}
{{- /* The path in the repository beside it, for when no pod of the operator is there to serve the page. */}}
{{- $annotations := dict "runbook" (printf "docs/operations/%s.md" .alert) "runbook_url" (printf "%s/%s.md" $base .alert) }}
{{- range $name, $text := .annotations }}
{{- $_ := set $annotations $name ($text | replace "@TENANT@" $tenant | replace "@DATABASE_CONNECTIONS@" $limit) }}
{{- end }}
{{- $changed := dict "expr" (.expr | replace "@DATABASE_CONNECTIONS@" $limit) "annotations" $annotations }}
{{- $rules = append $rules (merge $changed .) }}
{{- end }}
{{- end }}
{{- if $rules }}
{{- $groups = append $groups (dict "name" $file.name "rules" $rules) }}
{{- end }}
{{- end }}
{{- range $alerts.without }}
{{- if not (has . $known) }}
{{- fail (printf "monitoring.alerts.without: there is no alert %s; there are %s" . (join ", " $known)) }}
{{- end }}
{{- end -}}
groups:
  {{- toYaml $groups | nindent 2 }}
{{- end }}
