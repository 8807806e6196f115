{{/*
Annotations of what only lives around a hook; call with (dict "events" "pre-install,pre-upgrade" "weight" "-10").
A Job that failed stays, since its log says why; Helm takes away what it made before the Job. A Helm that was killed
takes nothing away; the next one does, before it makes the same again.
*/}}
{{- define "hoa.hook" -}}
helm.sh/hook: {{ .events }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Pod spec of a Job that runs files/setup.py; call with (dict "root" $ "name" "setup" "arguments" (list ...)). */}}
{{- define "hoa.setupPod" -}}
restartPolicy: Never
serviceAccountName: {{ .root.Release.Name }}-{{ .name }}
enableServiceLinks: false
securityContext:
  {{- include "hoa.podSecurity" .root | nindent 2 }}
{{- with include "hoa.pullSecrets" .root }}
{{- . | trim | nindent 0 }}
{{- end }}
containers:
  - name: setup
    image: {{ include "hoa.operatorImage" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command:
      - python3
      - /etc/hoa/setup/setup.py
      {{- range .arguments }}
      - {{ . | quote }}
      {{- end }}
    resources:
      {{- toYaml .root.Values.setup.resources | nindent 6 }}
    securityContext:
      {{- include "hoa.containerSecurity" .root | nindent 6 }}
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      - {name: setup, mountPath: /etc/hoa/setup, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: setup
    configMap: {name: {{ .root.Release.Name }}-{{ .name }}}
  - name: tmp
    emptyDir: {sizeLimit: 16Mi}
{{- end }}

{{/* The Secrets that are made when no existing one is named, as JSON for files/setup.py. */}}
{{- define "hoa.secretPlan" -}}
{{- $admin := include "hoa.postgresAdminSecret" . }}
{{- $secrets := list }}
{{- if not .Values.postgres.existingSecret }}
{{- if not .Values.postgres.enabled }}
{{- fail "postgres.existingSecret is not set: with postgres.enabled=false name the Secret with the keys username and password of the server's administrator" }}
{{- end }}
{{- $data := dict "username" (dict "value" "postgres") "password" (dict "random" "password") }}
{{- $secrets = append $secrets (dict "name" $admin "type" "kubernetes.io/basic-auth" "data" $data) }}
{{- end }}
{{- if and .Values.postgres.enabled .Values.postgres.tls }}
{{- $service := printf "%s-postgres" .Release.Name }}
{{- $hosts := list (include "hoa.postgresHost" .) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) $service }}
{{- $secrets = append $secrets (dict "name" (printf "%s-postgres-tls" .Release.Name) "type" "kubernetes.io/tls" "certificate" $hosts) }}
{{- end }}
{{- $where := dict
  "host" (dict "value" (include "hoa.postgresHost" .))
  "port" (dict "value" (include "hoa.postgresPort" .))
  "sslmode" (dict "value" (include "hoa.postgresSslMode" .))
  "dbname" (dict "value" .Values.registry.database) }}
{{- if not .Values.registry.existingSecret }}
{{- $login := dict "username" (dict "secret" $admin "key" "username") "password" (dict "secret" $admin "key" "password") }}
{{- $secrets = append $secrets (dict "name" (include "hoa.registrySecret" .) "type" "Opaque" "data" (merge $login $where)) }}
{{- end }}
{{- if not .Values.registry.readerExistingSecret }}
{{- if .Values.registry.existingSecret }}
{{- range $key := list "host" "port" "sslmode" "dbname" }}
{{- $_ := set $where $key (dict "secret" $.Values.registry.existingSecret "key" $key) }}
{{- end }}
{{- end }}
{{- $login := dict "username" (dict "value" "hoa_connect_registry_reader") "password" (dict "random" "password") }}
{{- $secrets = append $secrets (dict "name" (include "hoa.registryReaderSecret" .) "type" "Opaque" "data" (merge $login $where)) }}
{{- end }}
{{- if not .Values.sealing.existingSecret }}
{{- $data := dict "keys" (dict "random" "fernet") }}
{{- $secrets = append $secrets (dict "name" (include "hoa.sealingSecret" .) "type" "Opaque" "data" $data) }}
{{- end }}
{{- $labels := dict
  "app.kubernetes.io/name" "hoa-connect" "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/component" "platform" "app.kubernetes.io/managed-by" .Release.Service }}
{{- dict "namespace" .Release.Namespace "labels" $labels "secrets" $secrets | toPrettyJson }}
{{- end }}
