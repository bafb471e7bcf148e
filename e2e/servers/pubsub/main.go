// Command pubsub is Google's own fake of Pub/Sub, pstest, as a process: behind
// the REST calls that a program without gRPC makes, and with the push
// subscriptions that the service has and pstest does not. It prints two addresses:
// that of REST and that of gRPC.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	least := flag.Duration("least-deadline", 10*time.Second, "the shortest ack deadline; the service has 10 s")
	flag.Parse()
	if err := serve(*least); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(least time.Duration) error {
	pstest.SetMinAckDeadline(least)
	s := &service{Server: pstest.NewServerWithAddress("127.0.0.1:0")}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/projects/{project}/topics/{name}", s.createTopic)
	mux.HandleFunc("POST /v1/projects/{project}/topics/{name}", s.publish)
	mux.HandleFunc("PUT /v1/projects/{project}/subscriptions/{name}", s.createSubscription)
	mux.HandleFunc("POST /v1/projects/{project}/subscriptions/{name}", s.consume)
	mux.HandleFunc("GET /messages", s.told)
	fmt.Println(ln.Addr(), s.Addr)
	return http.Serve(ln, mux)
}

type service struct{ *pstest.Server }

func (s *service) createTopic(w http.ResponseWriter, r *http.Request) {
	reply(w)(s.GServer.CreateTopic(r.Context(), &pubsubpb.Topic{Name: name(r)}))
}

func (s *service) publish(w http.ResponseWriter, r *http.Request) {
	topic, verb, _ := strings.Cut(name(r), ":")
	req := &pubsubpb.PublishRequest{}
	if verb != "publish" || !read(w, r, req) {
		http.Error(w, "want :publish", http.StatusNotFound)
		return
	}
	req.Topic = topic
	reply(w)(s.GServer.Publish(r.Context(), req))
}

// createSubscription makes one, and pushes what it has if it names an endpoint.
func (s *service) createSubscription(w http.ResponseWriter, r *http.Request) {
	sub := &pubsubpb.Subscription{}
	if !read(w, r, sub) {
		return
	}
	sub.Name = name(r)
	made, err := s.GServer.CreateSubscription(r.Context(), sub)
	if err == nil && made.GetPushConfig().GetPushEndpoint() != "" {
		go s.push(context.Background(), made) // until the process ends
	}
	reply(w)(made, err)
}

func (s *service) consume(w http.ResponseWriter, r *http.Request) {
	sub, verb, _ := strings.Cut(name(r), ":")
	switch verb {
	case "pull":
		req := &pubsubpb.PullRequest{}
		if read(w, r, req) {
			req.Subscription = sub
			reply(w)(s.GServer.Pull(r.Context(), req))
		}
	case "acknowledge":
		req := &pubsubpb.AcknowledgeRequest{}
		if read(w, r, req) {
			req.Subscription = sub
			reply(w)(s.GServer.Acknowledge(r.Context(), req))
		}
	case "modifyAckDeadline":
		req := &pubsubpb.ModifyAckDeadlineRequest{}
		if read(w, r, req) {
			req.Subscription = sub
			reply(w)(s.GServer.ModifyAckDeadline(r.Context(), req))
		}
	default:
		http.Error(w, "want :pull, :acknowledge or :modifyAckDeadline", http.StatusNotFound)
	}
}

// told lists what was published, with how often it was delivered and whether
// that was acknowledged: a line for each.
func (s *service) told(w http.ResponseWriter, _ *http.Request) {
	for _, m := range s.Messages() {
		fmt.Fprintf(w, "%s %s deliveries=%d acks=%d\n", m.Topic, m.ID, m.Deliveries, m.Acks)
	}
}

func name(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/v1/") }

func read(w http.ResponseWriter, r *http.Request, m proto.Message) bool {
	body, err := io.ReadAll(r.Body)
	if err == nil && len(body) > 0 {
		err = protojson.Unmarshal(body, m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// reply writes what a method of pstest has returned.
func reply(w http.ResponseWriter) func(m proto.Message, err error) {
	return func(m proto.Message, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		body, err := protojson.Marshal(m)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	}
}
