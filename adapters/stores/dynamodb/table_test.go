package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"godwit.dev/adapters/stores/dynamodb"
	"godwit.dev/adapters/stores/dynamodb/dynamotest"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
	"godwit.dev/runtime/store/claimtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, s *dynamotest.Server) *dynamodb.Table {
	t.Helper()
	table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: s.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

func TestTable(t *testing.T) {
	claimtest.Run(t, func(t *testing.T) store.Table { return open(t, dynamotest.New(t, "claims")) })
}

// Servers before 2023 do not say in a refusal what is there.
func TestTableOfAMuteServer(t *testing.T) {
	claimtest.Run(t, func(t *testing.T) store.Table {
		s := dynamotest.New(t, "claims")
		s.Mute = true
		return open(t, s)
	})
}

// Whatever is lost on the way, in either direction, a call that ends well has
// been done once in effect.
func TestTableOverABadNetwork(t *testing.T) {
	lose := func(r *http.Request, call string, n int) (int, string) {
		if n > 60 && n%29 != 0 || n%3 != 2 { // less of what takes long
			return 0, ""
		}
		switch n / 3 % 4 {
		case 0:
			panic(http.ErrAbortHandler) // the connection breaks
		case 1:
			return 500, "InternalServerError"
		case 2:
			return 400, "ProvisionedThroughputExceededException"
		}
		return 503, ""
	}
	for name, set := range map[string]func(s *dynamotest.Server){
		"requests": func(s *dynamotest.Server) { s.Before = lose },
		"answers":  func(s *dynamotest.Server) { s.After = lose },
	} {
		t.Run(name, func(t *testing.T) {
			claimtest.Run(t, func(t *testing.T) store.Table {
				s := dynamotest.New(t, "claims")
				s.Config.ErrorLog = nil
				set(s)
				return open(t, s)
			})
		})
	}
}

func claim(key string) *store.Claim {
	now := time.Now()
	return &store.Claim{Key: key, Status: store.InProgress, Owner: "o", Validation: "v", Until: now.Add(time.Minute), Expires: now.Add(time.Hour)}
}

// Each refusal has its code, and what may pass is asked again for as long as there is time.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		kind   string
		want   fault.Code
		again  bool
	}{
		{400, "ProvisionedThroughputExceededException", fault.DeadlineExceeded, true},
		{400, "ThrottlingException", fault.DeadlineExceeded, true},
		{400, "RequestLimitExceeded", fault.DeadlineExceeded, true},
		{500, "InternalServerError", fault.DeadlineExceeded, true},
		{503, "", fault.DeadlineExceeded, true},
		{400, "ResourceNotFoundException", fault.NotFound, false},
		{400, "AccessDeniedException", fault.Denied, false},
		{400, "ValidationException", fault.BadConfig, false},
		{400, "UnrecognizedClientException", fault.Unauthenticated, false},
		{400, "ExpiredTokenException", fault.Unauthenticated, false},
		{400, "SomethingNew", fault.Unavailable, false},
		{302, "", fault.Unavailable, false},
	} {
		t.Run(fmt.Sprint(c.status, c.kind), func(t *testing.T) {
			t.Parallel()
			s := dynamotest.New(t, "claims")
			s.Before = func(*http.Request, string, int) (int, string) { return c.status, c.kind }
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			if !c.again {
				ctx = t.Context()
			}
			_, err := open(t, s).Claim(ctx, claim("k"), time.Now())
			if code := fault.CodeOf(err); code != c.want {
				t.Errorf("want %v, got %v: %v", c.want, code, err)
			}
			if !strings.Contains(err.Error(), c.kind) {
				t.Errorf("want the error to name %s, got %v", c.kind, err)
			}
			if calls := s.Calls(); (calls > 1) != c.again {
				t.Errorf("asked %d times", calls)
			}
		})
	}
	s := dynamotest.New(t, "claims")
	large := claim("k")
	large.Status, large.Answer = store.Completed, make([]byte, 400<<10)
	table := open(t, s)
	if _, err := table.Claim(t.Context(), claim("k"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Update(t.Context(), large); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("an answer of 400 KiB: want TooLarge, got %v", err)
	}
	other, err := dynamodb.Open("other", &dynamodb.Options{Getenv: s.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Claim(t.Context(), claim("k"), time.Now()); fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("no such table: want NotFound and a hint, got %v", err)
	}
	other.Close()
}

// An answer that never comes is asked for again.
func TestHangingServer(t *testing.T) {
	s := dynamotest.New(t, "claims")
	s.Before = func(r *http.Request, _ string, n int) (int, string) {
		if n == 0 {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees who hangs up
			<-r.Context().Done()
		}
		return 0, ""
	}
	table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: s.Getenv, Attempt: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if there, err := table.Claim(t.Context(), claim("k"), time.Now()); err != nil || there != nil {
		t.Errorf("%+v, %v", there, err)
	}
}

// An item that nobody of ours wrote is told of, and not taken for a claim.
func TestForeignItems(t *testing.T) {
	for _, body := range []string{
		`{"Item": {"id": {"S": "k"}, "status": {"S": "COMPLETED"}}}`,
		`{"Item": {"id": {"S": "k"}, "status": {"S": "DONE"}, "owner": {"S": "o"}, "validation": {"S": ""}, "in_progress_expiration": {"N": "1"}, "expiration": {"N": "1"}}}`,
		`{"Item": {"id": {"S": "k"}, "status": {"S": "COMPLETED"}, "owner": {"S": "o"}, "validation": {"S": ""}, "in_progress_expiration": {"N": "1"}, "expiration": {"N": "1.5"}}}`,
		`{"Item": {"id": {"S": "k"}, "status": {"S": "COMPLETED"}, "owner": {"S": ""}, "validation": {"S": ""}, "in_progress_expiration": {"N": "1"}, "expiration": {"N": "1"}}}`,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "PutItem") {
				w.WriteHeader(400)
				fmt.Fprintf(w, `{"__type": "x#ConditionalCheckFailedException", %s`, body[1:])
			}
		}))
		table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: env("AWS_ENDPOINT_URL", s.URL, "AWS_ACCESS_KEY_ID", "k", "AWS_SECRET_ACCESS_KEY", "s")})
		if err != nil {
			t.Fatal(err)
		}
		if there, err := table.Claim(t.Context(), claim("k"), time.Now()); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s: want BadConfig, got %+v, %v", body, there, err)
		}
		table.Close()
		s.Close()
	}
}

// An answer that was changed on the way counts for nothing.
func TestChecksum(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("X-Amz-Crc32", "1")
		}
		fmt.Fprint(w, "{}")
	}))
	defer s.Close()
	table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: env("AWS_ENDPOINT_URL", s.URL, "AWS_ACCESS_KEY_ID", "k", "AWS_SECRET_ACCESS_KEY", "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if there, err := table.Claim(t.Context(), claim("k"), time.Now()); err != nil || there != nil || asked.Load() != 2 {
		t.Errorf("%+v, %v after %d requests; want it written with the second", there, err, asked.Load())
	}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// Without credentials nobody is asked, and it is said what to do.
func TestNoCredentials(t *testing.T) {
	table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: env("AWS_LAMBDA_FUNCTION_NAME", "f", "AWS_ENDPOINT_URL", "http://127.0.0.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := table.Claim(t.Context(), claim("k"), time.Now()); fault.CodeOf(err) != fault.Unauthenticated || fault.HintOf(err) == "" {
		t.Errorf("want Unauthenticated and a hint, got %v", err)
	}
}

func TestOpen(t *testing.T) {
	for _, name := range []string{"", "ab", "a/b", "täble", strings.Repeat("a", 256)} {
		if _, err := dynamodb.Open(name, nil); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("table %q: want BadConfig, got %v", name, err)
		}
	}
	for name, value := range map[string]string{"AWS_REGION": "eu west", "AWS_ENDPOINT_URL": "http://example.com", "AWS_ENDPOINT_URL_DYNAMODB": "https://u:p@example.com"} {
		if _, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: env(name, value)}); fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s=%s: want BadConfig, got %v", name, value, err)
		}
	}
	table, err := dynamodb.Open("claims", &dynamodb.Options{Getenv: env("AWS_ENDPOINT_URL", "http://[::1]:8000")})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

// Two processes with a table: what one has done the other answers.
func TestClaims(t *testing.T) {
	s := dynamotest.New(t, "claims")
	runs := 0
	for range 3 {
		answer, err := store.NewClaims(open(t, s), nil).Do(t.Context(), "k", "v", func(context.Context) ([]byte, error) {
			runs++
			return []byte(`{"y": 1}`), nil
		})
		if err != nil || string(answer) != `{"y": 1}` {
			t.Errorf("%s, %v", answer, err)
		}
	}
	if runs != 1 || s.Calls() != 4 {
		t.Errorf("%d runs and %d calls; want 1 and 4", runs, s.Calls())
	}
	s.Before = func(*http.Request, string, int) (int, string) { return 500, "InternalServerError" }
	_, err := store.NewClaims(open(t, s), &store.ClaimOptions{Timeout: 50 * time.Millisecond}).Do(t.Context(), "k2", "v", nil)
	if fault.CodeOf(err) != fault.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want Unavailable, got %v", err)
	}
}
