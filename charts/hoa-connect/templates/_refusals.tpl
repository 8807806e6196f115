{{/* What the schema cannot refuse: values that contradict each other. */}}
{{- define "hoa.refusals" -}}
{{- $capacity := .Values.app.autoscaling }}
{{- if gt (int $capacity.minReplicas) (int $capacity.maxReplicas) }}
{{- fail (printf "app.autoscaling.minReplicas is %d, above app.autoscaling.maxReplicas, which is %d: raise the one or lower the other" (int $capacity.minReplicas) (int $capacity.maxReplicas)) }}
{{- end }}
{{- $deadline := int .Values.operator.provisioningDeadlineSeconds }}
{{- if gt (int .Values.operator.jobDeadlineSeconds) $deadline }}
{{- fail (printf "operator.jobDeadlineSeconds is %d, above operator.provisioningDeadlineSeconds, which is %d: a new tenant would be rolled back while its migration still runs; raise the one or lower the other" (int .Values.operator.jobDeadlineSeconds) $deadline) }}
{{- end }}
{{- end }}
