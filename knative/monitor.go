package knative

import (
	"maps"

	"godwit.dev/infra/render"
)

// podMonitor has Prometheus read what queue-proxy and the function say of
// themselves. A ServiceMonitor would not do: the Services that Knative makes have
// no port for either.
func podMonitor(d *render.Deployment) render.Mapping {
	m := d.Spec.Targets.Knative.Monitor
	labels := map[string]string{"app.kubernetes.io/name": d.Spec.Name}
	maps.Copy(labels, m.Labels)
	own := render.Mapping{{"port", "user-port", "The function's own: models, queues, engine."}, {"path", "/metrics"}}
	if m.Token != "" {
		own.Add("authorization", render.Mapping{{"credentials", secretKeyRef(m.Token)}})
	}
	return render.Mapping{
		{"apiVersion", "monitoring.coreos.com/v1", "Needs the Prometheus operator. While there are no pods there is nothing to read."},
		{"kind", "PodMonitor"},
		{"metadata", render.Mapping{{"name", d.Spec.Name}, {"labels", render.Texts(labels)}}},
		{"spec", render.Mapping{
			{"selector", render.Mapping{{"matchLabels", render.Mapping{{"serving.knative.dev/service", d.Spec.Name}}}}},
			{"podMetricsEndpoints", render.List{
				render.Mapping{{"port", "http-usermetric", "queue-proxy's: requests and their times. Needs request-metrics-protocol: prometheus in the\nConfigMap config-observability of the namespace knative-serving."}, {"path", "/metrics"}},
				own,
			}},
		}},
	}
}
