{{- define "koodrive-gateway.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/*
The gateway as a native sidecar, for the chart of a tool that depends on this one:

    spec:
      {{- include "koodrive-gateway.sidecar" (index .Subcharts "koodrive-gateway") | nindent 6 }}
      containers: …

It is `initContainers` and `volumes` of deploy/kubernetes/sidecar/pod.yaml; a tool with more of
either takes koodrive-gateway.sidecar.container and koodrive-gateway.sidecar.volume.
*/}}
{{- define "koodrive-gateway.sidecar" -}}
initContainers:
  - {{- include "koodrive-gateway.sidecar.container" . | nindent 4 }}
volumes:
  - {{- include "koodrive-gateway.sidecar.volume" . | nindent 4 }}
{{- end }}

{{- define "koodrive-gateway.sidecar.container" -}}
{{- $pod := (.Files.Get "files/sidecar.yaml" | fromYaml).spec.template.spec }}
{{- $container := first $pod.initContainers }}
{{- $_ := set $container "image" (include "koodrive-gateway.image" .) }}
{{- with .Values.sidecar.resources }}{{ $_ := set $container "resources" . }}{{ end }}
{{- toYaml $container }}
{{- end }}

{{- define "koodrive-gateway.sidecar.volume" -}}
{{- $pod := (.Files.Get "files/sidecar.yaml" | fromYaml).spec.template.spec }}
{{- $volume := first $pod.volumes }}
{{- $secret := (index $volume.projected.sources 1).secret }}
{{- $_ := set $secret "name" .Values.secretName }}
{{- toYaml $volume }}
{{- end }}
