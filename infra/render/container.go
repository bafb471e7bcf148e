package render

// What the image of every container platform has in common.
const (
	Port  = 8080 // where fn-server listens, for HTTP/1.1 and for HTTP/2 without TLS
	Live  = "/v2/health/live"
	Ready = "/v2/health/ready" // answered when every model is loaded
	// User is who the image runs as, by number: a kubelet cannot tell from a
	// name that it is not root.
	User = 65532
)
