package emulate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// mlJob scores a file by many requests to a container, as batch transform and
// batch prediction do.
type mlJob struct {
	front    *mlFront
	route    string
	header   http.Header
	parallel int           // requests at a time
	most     int64         // bytes of one
	timeout  time.Duration // of one
	tries    int           // for one that the container could not answer
}

// grouped puts records together, as many as have room in most bytes; one that
// has none alone is an error.
func grouped(records [][]byte, most int64) (batches [][]byte, err error) {
	var batch []byte
	for i, r := range records {
		if int64(len(r)) > most {
			return nil, fmt.Errorf("record %d has %d bytes, which is more than the payload of %d", i+1, len(r), most)
		}
		if int64(len(batch)+len(r)) > most {
			batches, batch = append(batches, batch), nil
		}
		batch = append(batch, r...)
	}
	if len(batch) > 0 {
		batches = append(batches, batch)
	}
	return batches, nil
}

// records are the lines of a file, with their ends.
func records(file []byte) [][]byte {
	lines := bytes.SplitAfter(file, []byte("\n"))
	if n := len(lines) - 1; len(lines[n]) == 0 {
		lines = lines[:n]
	}
	return lines
}

// answers are what the container answers to bodies, in their order. The error is
// about the exchange, not about a status.
func (j *mlJob) answers(ctx context.Context, bodies [][]byte) ([]Reply, error) {
	out, errs := make([]Reply, len(bodies)), make([]error, len(bodies))
	free := make(chan struct{}, j.parallel)
	var all sync.WaitGroup
	for i := range bodies {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			for range j.tries {
				out[i], errs[i] = j.ask(ctx, bodies[i])
				if errs[i] != nil || out[i].Status < 500 {
					return
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (j *mlJob) ask(ctx context.Context, body []byte) (Reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://function"+j.route, bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	req.Header = j.header.Clone()
	c := *j.front.container // as the job's own settings have it
	c.maxBody, c.timeout = j.most, j.timeout
	resp, err := c.roundTrip(req)
	if err != nil {
		return Reply{}, err
	}
	got, err := io.ReadAll(resp.Body)
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: got}, err
}
