{{/* Labels of everything; call with (dict "root" $ "component" "app"). */}}
{{- define "hoa.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "hoa.selector" . }}
{{- end }}

{{/* Labels that select the pods of one component; they never change. */}}
{{- define "hoa.selector" -}}
app.kubernetes.io/name: hoa-connect
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* metadata of an object; call with (dict "root" $ "component" "app" "name" "app"). */}}
{{- define "hoa.metadata" -}}
name: {{ .root.Release.Name }}-{{ .name | default .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "hoa.labels" . | nindent 2 }}
{{- end }}

{{/* Image reference; call with (dict "root" $ "image" .Values.app.image "fallback" .Values.image.tag). */}}
{{- define "hoa.image" -}}
{{- $tag := .image.tag | default .fallback | default .root.Chart.AppVersion | toString -}}
{{- $registry := .root.Values.image.registry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end }}{{ .image.repository }}{{ if hasPrefix "sha256:" $tag }}@{{ else }}:{{ end }}{{ $tag }}
{{- end }}

{{- define "hoa.operatorImage" -}}
{{ include "hoa.image" (dict "root" . "image" .Values.operator.image "fallback" .Values.image.tag) }}
{{- end }}

{{- define "hoa.appImage" -}}
{{ include "hoa.image" (dict "root" . "image" .Values.app.image "fallback" .Values.image.tag) }}
{{- end }}

{{- define "hoa.appVersion" -}}
{{ .Values.app.image.tag | default .Values.image.tag | default .Chart.AppVersion | trimPrefix "sha256:" | trunc 63 }}
{{- end }}

{{- define "hoa.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Security of a pod under the restricted standard; the images' own user. */}}
{{- define "hoa.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "hoa.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "hoa.baseDomain" -}}
{{ required "ingress.baseDomain is not set: tenants are served at <slug>.<baseDomain>, so say which, for example --set ingress.baseDomain=hoaconnect.example" .Values.ingress.baseDomain }}
{{- end }}

{{/* How tenants are reached: environment shared by operator, app and worker. */}}
{{- define "hoa.routeEnv" -}}
- {name: HOA_BASE_DOMAIN, value: {{ include "hoa.baseDomain" . | quote }}}
- {name: HOA_URL_SCHEME, value: {{ .Values.ingress.scheme | quote }}}
{{- if .Values.ingress.port }}
- {name: HOA_URL_PORT, value: {{ .Values.ingress.port | int | quote }}}
{{- end }}
{{- end }}

{{- define "hoa.postgresAdminSecret" -}}
{{ .Values.postgres.existingSecret | default (printf "%s-postgres-admin" .Release.Name) }}
{{- end }}

{{- define "hoa.postgresHost" -}}
{{- if .Values.postgres.enabled -}}
{{ .Release.Name }}-postgres.{{ .Release.Namespace }}.svc
{{- else -}}
{{ required "postgres.external.host is not set: with postgres.enabled=false say which Postgres to use" .Values.postgres.external.host }}
{{- end -}}
{{- end }}

{{- define "hoa.postgresPort" -}}
{{ if .Values.postgres.enabled }}5432{{ else }}{{ .Values.postgres.external.port | int }}{{ end }}
{{- end }}

{{- define "hoa.postgresSslMode" -}}
{{ if not .Values.postgres.enabled }}{{ .Values.postgres.external.sslMode }}{{ else if .Values.postgres.tls }}require{{ else }}disable{{ end }}
{{- end }}

{{- define "hoa.registrySecret" -}}
{{ .Values.registry.existingSecret | default (printf "%s-registry" .Release.Name) }}
{{- end }}

{{- define "hoa.registryReaderSecret" -}}
{{ .Values.registry.readerExistingSecret | default (printf "%s-registry-reader" .Release.Name) }}
{{- end }}

{{- define "hoa.sealingSecret" -}}
{{ .Values.sealing.existingSecret | default (printf "%s-sealing-keys" .Release.Name) }}
{{- end }}

{{- define "hoa.filesClaim" -}}
{{ .Values.files.persistence.existingClaim | default (printf "%s-files" .Release.Name) }}
{{- end }}

{{/* What the app and the worker have in common. */}}
{{- define "hoa.appEnv" -}}
{{ include "hoa.routeEnv" . }}
- {name: HOA_REGISTRY_DIR, value: /etc/hoa/registry}
- {name: HOA_SEALING_KEYS_FILE, value: /etc/hoa/sealing/keys}
- {name: HOA_STORAGE_URL, value: {{ .Values.files.url | quote }}}
- {name: HOA_SMTP_URL, value: {{ .Values.mail.smtpUrl | quote }}}
{{- if .Values.mail.existingSecret }}
- {name: HOA_SMTP_PASSWORD_FILE, value: /etc/hoa/mail/password}
{{- end }}
{{- if .Values.mail.from }}
- {name: HOA_MAIL_FROM, value: {{ .Values.mail.from | quote }}}
{{- end }}
- {name: HOA_POOL_MAX_TOTAL, value: {{ .Values.app.pool.maxTotal | int | quote }}}
- {name: HOA_POOL_TENANT_SHARE, value: {{ .Values.app.pool.tenantShare | quote }}}
- {name: HOA_POOL_IDLE_SECONDS, value: {{ .Values.app.pool.idleSeconds | int | quote }}}
- {name: HOA_SMTP_TIMEOUT_SECONDS, value: {{ .Values.mail.timeoutSeconds | int | quote }}}
- {name: HOA_APP_VERSION, value: {{ include "hoa.appVersion" . | quote }}}
- {name: HOA_HOST, value: {{ .Values.bindAddress | quote }}}
- {name: HOA_METRICS_PORT, value: "9090"}
{{- end }}

{{- define "hoa.appEnvFrom" -}}
{{- with .Values.files.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "hoa.appMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: registry, mountPath: /etc/hoa/registry, readOnly: true}
- {name: sealing, mountPath: /etc/hoa/sealing, readOnly: true}
{{- if hasPrefix "file://" .Values.files.url }}
- {name: files, mountPath: {{ trimPrefix "file://" .Values.files.url }}}
{{- end }}
{{- if .Values.mail.existingSecret }}
- {name: mail, mountPath: /etc/hoa/mail, readOnly: true}
{{- end }}
{{- end }}

{{- define "hoa.appVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: registry
  secret: {secretName: {{ include "hoa.registryReaderSecret" . }}, defaultMode: 0440}
- name: sealing
  secret: {secretName: {{ include "hoa.sealingSecret" . }}, defaultMode: 0440}
{{- if hasPrefix "file://" .Values.files.url }}
- name: files
  persistentVolumeClaim: {claimName: {{ include "hoa.filesClaim" . }}}
{{- end }}
{{- with .Values.mail.existingSecret }}
- name: mail
  secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: password, path: password}]}
{{- end }}
{{- end }}

{{/* Where pods go; call with (dict "root" $ "component" "app" "values" .Values.app). */}}
{{- define "hoa.scheduling" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "hoa.selector" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "hoa.selector" . | nindent 8 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
