{{- define "millgate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Names of objects, with room for the suffixes that are added below. */}}
{{- define "millgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "millgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "millgate.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Roles of a cluster have no namespace: two releases must not take each other's. */}}
{{- define "millgate.clusterName" -}}
{{- if eq .Release.Namespace (include "millgate.fullname" .) -}}
{{- include "millgate.fullname" . }}
{{- else -}}
{{- printf "%s-%s" .Release.Namespace (include "millgate.fullname" .) }}
{{- end }}
{{- end }}

{{/* What a selector may name: nothing that an upgrade changes. */}}
{{- define "millgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "millgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "millgate.labels" -}}
{{ include "millgate.selectorLabels" . }}
app.kubernetes.io/part-of: millgate
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "millgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "millgate.fullname" .) }}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "millgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* The operator's configuration: what is empty is left out, so that the operator's own defaults hold. */}}
{{- define "millgate.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not .Values.config.prometheus.url -}}
{{- $config = omit $config "prometheus" -}}
{{- end -}}
{{- if not .Values.config.defaultServingImage -}}
{{- $config = omit $config "defaultServingImage" -}}
{{- end -}}
{{- if not .Values.config.modelCache.claimName -}}
{{- $config = omit $config "modelCache" -}}
{{- end -}}
{{- $config = set $config "watchNamespaces" .Values.scope.namespaces -}}
{{- $config = set $config "lease" (dict "name" (include "millgate.fullname" .)) -}}
{{- toYaml $config }}
{{- end }}
