package fnserver_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/internal/emulate"
)

const (
	pushAudience = "https://addsub.example/events"
	pushAccount  = "push@demo.iam.gserviceaccount.com"
)

// google is what of Google a service meets: the keys of its tokens, at their
// own address, and Pub/Sub. A proxy leads there.
type google struct {
	t     *testing.T
	key   *rsa.PrivateKey
	certs *httptest.Server
	env   []string

	mu        sync.Mutex
	asked     int
	published []map[string]string
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &google{t: t, key: key}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"www.googleapis.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	g.certs = httptest.NewUnstartedServer(http.HandlerFunc(g.keys))
	g.certs.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	g.certs.StartTLS()
	proxy := httptest.NewServer(http.HandlerFunc(g.connect))
	topic := httptest.NewServer(http.HandlerFunc(g.publish))
	t.Cleanup(func() {
		g.certs.CloseClientConnections()
		for _, s := range []*httptest.Server{topic, proxy, g.certs} {
			s.Close()
		}
	})
	g.env = []string{"HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + roots, "PUBSUB_EMULATOR_HOST=" + strings.TrimPrefix(topic.URL, "http://")}
	return g
}

func (g *google) keys(w http.ResponseWriter, r *http.Request) {
	if r.Host+r.URL.Path != "www.googleapis.com/oauth2/v3/certs" {
		g.t.Errorf("asked for keys at %s%s", r.Host, r.URL.Path)
	}
	g.mu.Lock()
	g.asked++
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: g.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
}

// connect is a proxy that knows one place.
func (g *google) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect || r.Host != "www.googleapis.com:443" {
		g.t.Errorf("the proxy was asked for %s %s", r.Method, r.Host)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	to, err := net.Dial("tcp", g.certs.Listener.Addr().String())
	if err != nil {
		g.t.Error(err)
		return
	}
	defer to.Close()
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.t.Error(err)
		return
	}
	defer from.Close()
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(to, buffered)
		_ = to.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(from, to)
}

// publish is Pub/Sub's emulator.
func (g *google) publish(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Messages []struct {
			Data       []byte
			Attributes map[string]string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil || len(m.Messages) != 1 {
		g.t.Errorf("published %+v, %v", m, err)
		return
	}
	one := m.Messages[0].Attributes
	one["to"], one["data"] = r.URL.Path, string(m.Messages[0].Data)
	g.mu.Lock()
	g.published = append(g.published, one)
	g.mu.Unlock()
	_, _ = io.WriteString(w, `{"messageIds":["1"]}`)
}

func (g *google) token(email, audience string) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: g.key, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		g.t.Fatal(err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(map[string]any{"iss": cloudrun.Issuer, "aud": audience, "sub": "1", "email": email, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}).Serialize()
	if err != nil {
		g.t.Fatal(err)
	}
	return token
}

// What the spec says of pushes is what the process does that serves it: who may
// deliver, and where goes what failed for good.
func TestPushesAreAsTheSpecSays(t *testing.T) {
	g := newGoogle(t)
	m := &machine{t: t, dir: t.TempDir()}
	m.install("1", "answers")
	yaml := "model: addsub.onnx\nauth: none\ntriggers: [queue]\nbatch: {input: rows/, output: scores/}\n" +
		"targets: {cloudrun: {push: {audience: \"" + pushAudience + "\", serviceAccounts: [other@demo.iam.gserviceaccount.com, " + pushAccount + "], ackDeadline: 30s, deadLetterTopic: projects/demo/topics/rejected}}}\n"
	if err := os.WriteFile(filepath.Join(m.dir, "godwit.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	var token string
	var log bytes.Buffer
	output := t.TempDir()
	launch := emulate.Command(os.Args[0], nil, append(g.env, "EDGE_TEST_DEVICE=1", "GODWIT_FUNCTION="+m.dir, "GODWIT_BIND=127.0.0.1", "GODWIT_OUTPUT="+output), &log, &log)
	i, err := emulate.Start(t.Context(), "cloudrun", launch, &emulate.Options{Identity: func() (string, error) { return token, nil }})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		i.Kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	message := func(id, data string) *emulate.Delivery {
		return &emulate.Delivery{Header: http.Header{"Content-Type": {"application/json"}}, Body: fmt.Appendf(nil,
			`{"message":{"data":%q,"attributes":{"shop":"s1"},"messageId":%q},"subscription":"projects/demo/subscriptions/rows"}`, base64.StdEncoding.EncodeToString([]byte(data)), id)}
	}
	for _, c := range []struct {
		name, id, data, email, audience string
		status                          int
	}{
		{"a request", "1", row, pushAccount, pushAudience, 204},
		{"of another account", "2", row, "me@gmail.com", pushAudience, 403},
		{"for another audience", "3", row, pushAccount, "https://other.example/", 401},
		{"no request", "4", "rubbish", pushAccount, pushAudience, 204},
	} {
		token = g.token(c.email, c.audience)
		reply, err := i.Deliver(t.Context(), message(c.id, c.data))
		if err != nil || reply.Status != c.status || reply.Retry != (c.status != 204) {
			t.Errorf("%s: want %d, got %+v %s, %v", c.name, c.status, reply, reply.Body, err)
		}
	}
	scores, err := filepath.Glob(filepath.Join(output, "scores", "*"))
	if err != nil || len(scores) != 1 {
		t.Errorf("want the scores of one message in %s, got %q, %v", output, scores, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked == 0 {
		t.Error("nobody asked for Google's keys")
	}
	for _, one := range g.published {
		if !strings.Contains(one["godwit_error"], "want an object") {
			t.Errorf("want the reason, got %q", one["godwit_error"])
		}
		delete(one, "godwit_error")
	}
	if diff := cmp.Diff([]map[string]string{{"to": "/v1/projects/demo/topics/rejected:publish", "data": "rubbish", "shop": "s1", "godwit_code": "invalid",
		"godwit_item": "projects/demo/subscriptions/rows/messages/4"}}, g.published); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
}
