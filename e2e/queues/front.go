package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"godwit.dev/internal/emulate"
)

// running is a function that may be killed and started again.
type running struct {
	begin func() (*emulate.Instance, error)

	mu  sync.Mutex
	now *emulate.Instance
}

// restart kills what runs, if anything does, and starts another.
func (r *running) restart() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	i, err := r.begin()
	r.now = i
	return err
}

func (r *running) stop() {
	if r.now != nil {
		r.now.Kill()
	}
	r.now = nil
}

// get is the one that runs, once there is one.
func (r *running) get() *emulate.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// front takes deliveries over HTTP for a function: events by POST, and what the
// platform hears is the answer. On Lambda it speaks as the Invoke API does.
func front(ctx context.Context, r *running) (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		h := http.Header{}
		for name, values := range req.Header {
			if strings.HasPrefix(name, "Ce-") || name == "Content-Type" {
				h[name] = values
			}
		}
		i := r.get()
		reply, err := i.Deliver(req.Context(), &emulate.Delivery{Header: h, Body: body})
		switch {
		case err != nil: // it has ended
			w.WriteHeader(http.StatusBadGateway)
		case i.Target() == "awslambda":
			if reply.Status != http.StatusOK {
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
			}
			_, _ = w.Write(reply.Body)
		default:
			w.WriteHeader(reply.Status)
			_, _ = w.Write(reply.Body)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	return "http://" + ln.Addr().String(), func() {
		_ = server.Close()
		<-done
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stop()
	}, nil
}
