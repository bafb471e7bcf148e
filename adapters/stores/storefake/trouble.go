package storefake

import "net/http"

// Break passes n bytes of a body on and then ends the connection.
func Break(w http.ResponseWriter, n int) http.ResponseWriter { return &broken{w, n} }

type broken struct {
	http.ResponseWriter
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.ResponseWriter.Write(p[:b.left])
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// Lose has the store do what is asked, and ends the connection without an answer.
func Lose(r *http.Request, next http.Handler) {
	next.ServeHTTP(unseen{http.Header{}}, r)
	panic(http.ErrAbortHandler)
}

type unseen struct{ h http.Header }

func (u unseen) Header() http.Header       { return u.h }
func (unseen) WriteHeader(int)             {}
func (unseen) Write(p []byte) (int, error) { return len(p), nil }
