{{/* Settings of a component's pods: of those servers alone that `secrets` has for it. Takes a dict: root, component. Secrets are references to existing ones. */}}
{{- define "fraudstream.environment" -}}
{{- $values := .root.Values }}
{{- $own := index $values.secrets .component }}
{{- if hasKey $own "kafka" }}
- name: FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers is empty: name your brokers, as in kafka-1:9092,kafka-2:9092" $values.kafka.bootstrapServers | quote }}
- name: FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL
  value: {{ $values.kafka.securityProtocol | quote }}
{{- if hasPrefix "SASL_" $values.kafka.securityProtocol }}
{{- $secret := required "kafka.existingSecret is empty: SASL needs a secret with user and password" (default $values.kafka.existingSecret $own.kafka) }}
- name: FRAUDSTREAM_KAFKA_SASL_MECHANISM
  value: {{ $values.kafka.saslMechanism | quote }}
- name: FRAUDSTREAM_KAFKA_SASL_USERNAME
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ $values.kafka.usernameKey | quote }}}}
- name: FRAUDSTREAM_KAFKA_SASL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ $values.kafka.passwordKey | quote }}}}
{{- end }}
{{- if include "fraudstream.kafkaTls" . }}
- name: FRAUDSTREAM_KAFKA_SSL_CAFILE
  value: /etc/fraudstream/kafka/ca.crt
{{- if $values.kafka.mutualTls }}
- name: FRAUDSTREAM_KAFKA_SSL_CERTFILE
  value: /etc/fraudstream/kafka/tls.crt
- name: FRAUDSTREAM_KAFKA_SSL_KEYFILE
  value: /etc/fraudstream/kafka/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- if hasKey $own "redis" }}
- name: FRAUDSTREAM_REDIS_URL
{{- with default $values.redis.existingSecret $own.redis }}
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $values.redis.urlKey | quote }}}}
{{- else }}
  value: {{ required "redis.url is empty: give redis.url, or redis.existingSecret where it has a password" $values.redis.url | quote }}
{{- end }}
{{- end }}
{{- if hasKey $own "mlflow" }}
- name: FRAUDSTREAM_MLFLOW_TRACKING_URI
{{- with default $values.mlflow.existingSecret $own.mlflow }}
  valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $values.mlflow.uriKey | quote }}}}
{{- else }}
  value: {{ required "mlflow.trackingUri is empty: give mlflow.trackingUri, or mlflow.existingSecret where it has a password" $values.mlflow.trackingUri | quote }}
{{- end }}
{{- end }}
{{- if and (eq .component "worker") $values.schemaRegistry.existingSecret }}
- name: FRAUDSTREAM_SCHEMA_REGISTRY_URL
  valueFrom: {secretKeyRef: {name: {{ $values.schemaRegistry.existingSecret | quote }}, key: {{ $values.schemaRegistry.urlKey | quote }}}}
{{- end }}
{{- range $name, $value := $values.config }}
- name: FRAUDSTREAM_{{ upper $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{/* The secret with Kafka's certificates for a component; empty where it talks to no Kafka, or there is none. Takes a dict: root, component. */}}
{{- define "fraudstream.kafkaTls" -}}
{{- $own := index .root.Values.secrets .component }}
{{- if hasKey $own "kafka" }}
{{- default .root.Values.kafka.tlsExistingSecret $own.kafkaTls }}
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

{{/* These two take a dict: root, component. */}}
{{- define "fraudstream.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "fraudstream.kafkaTls" . }}
- name: kafka-tls
  mountPath: /etc/fraudstream/kafka
  readOnly: true
{{- end }}
{{- end }}

{{- define "fraudstream.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with include "fraudstream.kafkaTls" . }}
- name: kafka-tls
  secret:
    secretName: {{ . }}
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
