package httpserve

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"godwit.dev/adapters/httpserve/oippb"
	"godwit.dev/runtime/fault"
)

// health is grpc.health.v1 over the server's readiness. grpc-go's own server
// has to be told of every change; readiness here is asked for.
type health struct {
	*grpcServer
	healthpb.UnimplementedHealthServer
}

// watchEvery is how late a watcher may learn of a change.
const watchEvery = time.Second

func (h *health) state(service string) healthpb.HealthCheckResponse_ServingStatus {
	if service != "" && service != oippb.GRPCInferenceService_ServiceDesc.ServiceName {
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	}
	if h.api.Ready() != nil {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

// Check answers for the server as a whole ("") and for the protocol's service.
func (h *health) Check(_ context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	state := h.state(r.GetService())
	if state == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, fault.New(fault.NotFound, "httpserve.Check", "service "+strconv.Quote(r.GetService()[:min(len(r.GetService()), 128)]), "not served here")
	}
	return &healthpb.HealthCheckResponse{Status: state}, nil
}

// Watch sends the state now and whenever it has changed.
func (h *health) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	for {
		if now := h.state(r.GetService()); now != last {
			last = now
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-h.stopping:
			return errStopping()
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
