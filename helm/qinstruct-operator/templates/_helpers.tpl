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

{{/* Fails where one of a setting's networks is none to the operator: list of its path and its text.
The schema cannot tell bits behind a prefix: of 10.1.2.3/16 nobody knows what it means. */}}
{{- define "qinstruct.checkNetwork" -}}
{{- $path := index . 0 -}}
{{- $text := index . 1 -}}
{{- $address := splitList "/" $text | first -}}
{{- $prefix := splitList "/" $text | last | int -}}
{{- $width := ternary 16 8 (contains ":" $address) -}}
{{- $groups := list -}}
{{- if contains ":" $address -}}
{{- $halves := splitList "::" $address -}}
{{- $left := first $halves | splitList ":" | compact -}}
{{- $right := rest $halves | join "" | splitList ":" | compact -}}
{{- $zeros := sub 8 (add (len $left) (len $right)) | int -}}
{{- $is_whole := eq $address (ternary (join ":" $left) (printf "%s::%s" (join ":" $left) (join ":" $right)) (eq (len $halves) 1)) -}}
{{- if or (not $is_whole) (lt $zeros (sub (len $halves) 1 | int)) (and (eq (len $halves) 1) (ne $zeros 0)) (regexMatch "[^:]{5}" $address) -}}
{{- fail (printf "%s: %s is not a network; use e.g. fd00::/8" $path $text) -}}
{{- end -}}
{{- $none := list -}}
{{- range until $zeros -}}
{{- $none = append $none "0" -}}
{{- end -}}
{{- range concat $left $none $right -}}
{{- $groups = append $groups (int64 (printf "0x%v" .)) -}}
{{- end -}}
{{- else -}}
{{- range splitList "." $address -}}
{{- $groups = append $groups (int64 .) -}}
{{- end -}}
{{- end -}}
{{- $powers := list 1 2 4 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536 -}}
{{- range $index, $group := $groups -}}
{{- $behind := sub (mul $width (add1 $index)) $prefix | max 0 | min $width | int -}}
{{- if mod $group (index $powers $behind) -}}
{{- fail (printf "%s: %s is not a network: it has bits behind its prefix, so that it may mean a range or one address; write the range with zeros there, or the address with /%d" $path $text (mul $width (len $groups))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The settings as variables: `cacheSize` is QINSTRUCT_CACHE_SIZE. */}}
{{- define "qinstruct.settings" -}}
- name: QINSTRUCT_PREP_IMAGE
  value: {{ include "qinstruct.image" (list . "prep") | quote }}
- name: QINSTRUCT_TRAINER_IMAGE
  value: {{ include "qinstruct.image" (list . "trainer") | quote }}
{{- range $index, $network := .Values.settings.privateNetworks }}
{{- include "qinstruct.checkNetwork" (list (printf "settings.privateNetworks[%d]" $index) $network) }}
{{- end }}
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
