{{/* The settings of every pod of ours. Secrets are references to existing ones. */}}
{{- define "fraudstream.environment" -}}
- name: FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers is empty: name your brokers, as in kafka-1:9092,kafka-2:9092" .Values.kafka.bootstrapServers | quote }}
- name: FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL
  value: {{ .Values.kafka.securityProtocol | quote }}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol }}
{{- $secret := required "kafka.existingSecret is empty: SASL needs a secret with user and password" .Values.kafka.existingSecret }}
- name: FRAUDSTREAM_KAFKA_SASL_MECHANISM
  value: {{ .Values.kafka.saslMechanism | quote }}
- name: FRAUDSTREAM_KAFKA_SASL_USERNAME
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ .Values.kafka.usernameKey | quote }}}}
- name: FRAUDSTREAM_KAFKA_SASL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ .Values.kafka.passwordKey | quote }}}}
{{- end }}
{{- if .Values.kafka.tlsExistingSecret }}
- name: FRAUDSTREAM_KAFKA_SSL_CAFILE
  value: /etc/fraudstream/kafka/ca.crt
{{- if .Values.kafka.mutualTls }}
- name: FRAUDSTREAM_KAFKA_SSL_CERTFILE
  value: /etc/fraudstream/kafka/tls.crt
- name: FRAUDSTREAM_KAFKA_SSL_KEYFILE
  value: /etc/fraudstream/kafka/tls.key
{{- end }}
{{- end }}
- name: FRAUDSTREAM_REDIS_URL
{{- if .Values.redis.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret | quote }}, key: {{ .Values.redis.urlKey | quote }}}}
{{- else }}
  value: {{ required "redis.url is empty: give redis.url, or redis.existingSecret where it has a password" .Values.redis.url | quote }}
{{- end }}
- name: FRAUDSTREAM_MLFLOW_TRACKING_URI
{{- if .Values.mlflow.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .Values.mlflow.existingSecret | quote }}, key: {{ .Values.mlflow.uriKey | quote }}}}
{{- else }}
  value: {{ required "mlflow.trackingUri is empty: give mlflow.trackingUri, or mlflow.existingSecret where it has a password" .Values.mlflow.trackingUri | quote }}
{{- end }}
{{- range $name, $value := .Values.config }}
- name: FRAUDSTREAM_{{ upper $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{/* Pod Security Standards: restricted. */}}
{{- define "fraudstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "fraudstream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "fraudstream.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.kafka.tlsExistingSecret }}
- name: kafka-tls
  mountPath: /etc/fraudstream/kafka
  readOnly: true
{{- end }}
{{- end }}

{{- define "fraudstream.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if .Values.kafka.tlsExistingSecret }}
- name: kafka-tls
  secret:
    secretName: {{ .Values.kafka.tlsExistingSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* What every pod spec of ours begins with. */}}
{{- define "fraudstream.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext: {{- include "fraudstream.podSecurity" . | nindent 2 }}
{{- end }}

{{/* Where pods of a component may run. Takes the component's values. */}}
{{- define "fraudstream.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
