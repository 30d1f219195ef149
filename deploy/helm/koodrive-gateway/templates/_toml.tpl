{{/* A table as TOML. Numbers of values are floating point to Helm, so `toToml` would write 60.0. */}}
{{- define "koodrive-gateway.table" -}}
{{- $path := .path -}}
{{- range $key, $value := .table }}
{{- if not (include "koodrive-gateway.is-table" $value) }}
{{ include "koodrive-gateway.key" $key }} = {{ include "koodrive-gateway.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- if include "koodrive-gateway.is-table" $value }}
{{- $name := include "koodrive-gateway.key" $key }}
{{- if $path }}{{ $name = printf "%s.%s" $path $name }}{{ end }}
{{- if kindIs "map" $value }}

[{{ $name }}]
{{- include "koodrive-gateway.table" (dict "table" $value "path" $name) }}
{{- else }}
{{- range $value }}

[[{{ $name }}]]
{{- include "koodrive-gateway.table" (dict "table" . "path" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "koodrive-gateway.is-table" -}}
{{- if kindIs "map" . }}yes{{ else if kindIs "slice" . }}{{ if . }}{{ if kindIs "map" (first .) }}yes{{ end }}{{ end }}{{ end }}
{{- end }}

{{- define "koodrive-gateway.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- define "koodrive-gateway.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $one := . }}{{ if $at }}, {{ end }}{{ include "koodrive-gateway.value" $one }}{{ end }}]
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else -}}
{{ toJson . }}
{{- end }}
{{- end }}
