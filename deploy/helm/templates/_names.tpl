{{- define "shingle.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "shingle.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "shingle.labels" -}}
{{ include "shingle.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "shingle.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "shingle.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "shingle.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "shingle.ownTLS" -}}
{{- if ne .Values.expose.type "ingress" }}true{{ end }}
{{- end }}

{{/* The settings of serve, worker and the migration job. Secrets by reference. */}}
{{- define "shingle.env" -}}
- {name: SHINGLE_LISTEN, value: ":8080"}
- {name: SHINGLE_OPS_LISTEN, value: "0.0.0.0:9090"}
- {name: SHINGLE_DATA_DIR, value: /data}
# Endpoints and cloud balancers take some seconds to learn that a pod leaves.
- {name: SHINGLE_DRAIN_DELAY, value: 10s}
- {name: SHINGLE_PLATFORM_HOST, value: {{ .Values.platformHost | quote }}}
- {name: SHINGLE_BOARD_DOMAIN, value: {{ .Values.boardDomain | quote }}}
- {name: SHINGLE_PUBLIC_URL, value: {{ .Values.publicURL | default (printf "https://%s" .Values.platformHost) | quote }}}
{{- with .Values.filesHost }}
- {name: SHINGLE_FILES_HOST, value: {{ . | quote }}}
{{- end }}
{{- with .Values.mailFrom }}
- {name: SHINGLE_MAIL_FROM, value: {{ . | quote }}}
{{- end }}
{{- if include "shingle.ownTLS" . }}
- {name: SHINGLE_TLS_LISTEN, value: ":8443"}
{{- if .Values.expose.loadBalancer.http3 }}
- {name: SHINGLE_HTTP3, value: "true"}
{{- end }}
{{- with .Values.tls.acmeEmail }}
- {name: SHINGLE_ACME_EMAIL, value: {{ . | quote }}}
{{- end }}
{{- with .Values.tls.acmeDirectory }}
- {name: SHINGLE_ACME_DIRECTORY, value: {{ . | quote }}}
{{- end }}
{{- with .Values.tls.fallbackDirectory }}
- {name: SHINGLE_ACME_FALLBACK_DIRECTORY, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- with .Values.trustedProxies }}
- {name: SHINGLE_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
{{- end }}
{{- with .Values.files.url }}
- {name: SHINGLE_BLOB_URL, value: {{ . | quote }}}
{{- end }}
{{- if .Values.redis.enabled }}
- {name: SHINGLE_REDIS_URL, value: "redis://{{ include "shingle.fullname" . }}-redis:6379/0"}
{{- else if .Values.redis.secretKey }}
- name: SHINGLE_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.secret.name }}, key: {{ .Values.redis.secretKey }}}}
{{- else }}
- {name: SHINGLE_REDIS_URL, value: {{ required "redis.url or redis.secretKey is needed when redis.enabled is false" .Values.redis.url | quote }}}
{{- end }}
{{- $typesense := ternary (printf "http://%s-typesense:8108" (include "shingle.fullname" .)) .Values.typesense.url .Values.typesense.enabled }}
{{- if $typesense }}
- {name: SHINGLE_TYPESENSE_URL, value: {{ $typesense | quote }}}
- name: SHINGLE_TYPESENSE_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.secret.name }}, key: {{ .Values.typesense.secretKey }}}}
{{- end }}
{{- range $name := keys .Values.secret.keys | sortAlpha }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.secret.name }}, key: {{ get $.Values.secret.keys $name }}}}
{{- end }}
{{- with .Values.files.secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- range $name := keys .Values.settings | sortAlpha }}
- {name: {{ $name }}, value: {{ get $.Values.settings $name | toString | quote }}}
{{- end }}
{{- end }}

{{- define "shingle.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shingle.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "shingle.filesVolume" -}}
{{- if or .Values.files.url (not .Values.files.persistence.enabled) -}}
emptyDir: {}
{{- else -}}
persistentVolumeClaim: {claimName: {{ .Values.files.persistence.existingClaim | default (printf "%s-files" (include "shingle.fullname" .)) }}}
{{- end }}
{{- end }}
