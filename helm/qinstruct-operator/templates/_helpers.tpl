{{- define "qinstruct.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of the pods that are ours in the operator's namespace: the operator, and `helm test`. */}}
{{- define "qinstruct.podLabels" -}}
app.kubernetes.io/name: qinstruct
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "qinstruct.selectorLabels" -}}
{{ include "qinstruct.podLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "qinstruct.labels" -}}
{{ include "qinstruct.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "qinstruct.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "qinstruct.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an account that exists where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The reference of one of `images`: list of the context and the image's name there. */}}
{{- define "qinstruct.image" -}}
{{- $images := (index . 0).Values.images -}}
{{- $image := index $images (index . 1) -}}
{{- printf "%s/%s" (default $images.registry $image.registry) $image.repository -}}
{{- if $image.digest -}}
{{- printf "@%s" $image.digest -}}
{{- else -}}
{{- printf ":%s" (coalesce $image.tag $images.tag (index . 0).Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted", for a pod; a user of the platform's choice where runAsUser is null. */}}
{{- define "qinstruct.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "qinstruct.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A setting as text: a list with commas, "-" for none; a number without an exponent. */}}
{{- define "qinstruct.setting" -}}
{{- if kindIs "slice" . -}}
{{- join "," . | default "-" -}}
{{- else if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* The settings as variables: `cacheSize` is QINSTRUCT_CACHE_SIZE. */}}
{{- define "qinstruct.settings" -}}
- name: QINSTRUCT_PREP_IMAGE
  value: {{ include "qinstruct.image" (list . "prep") | quote }}
- name: QINSTRUCT_TRAINER_IMAGE
  value: {{ include "qinstruct.image" (list . "trainer") | quote }}
{{- range $name, $value := .Values.settings }}
- name: QINSTRUCT_{{ $name | snakecase | upper }}
  value: {{ include "qinstruct.setting" $value | quote }}
{{- end }}
{{- end -}}

{{- define "qinstruct.egressToDns" -}}
- to: {{- toYaml .Values.networkPolicy.dns.peers | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - protocol: UDP
      port: {{ . }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
{{- end -}}
