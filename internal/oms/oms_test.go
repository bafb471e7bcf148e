package oms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"godwit.dev/runtime/fault"
)

func newKey(t testing.TB, curve elliptic.Curve) (*Key, *Trust) {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{key}, &Trust{keys: []*ecdsa.PublicKey{&key.PublicKey}}
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func put(t testing.TB, text string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func trusted(t testing.TB, path ...string) *Trust {
	t.Helper()
	trust, err := ParseTrust("trust", read(t, path...))
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// theirs is a copy of the model that model-signing signed.
func theirs(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS("testdata/theirs/model")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "git"), filepath.Join(dir, ".git")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What PyPI's model-signing 1.1.1 signed; e2e/signing records it.
func TestVerifyTheirs(t *testing.T) {
	const data = "testdata/theirs"
	for _, test := range []struct {
		sig, trust, model string
		code              fault.Code
		files             int
	}{
		{"prime256v1.sig", "prime256v1.pub", "", fault.OK, 5},
		{"secp384r1.sig", "secp384r1.pub", "", fault.OK, 5},
		{"secp521r1.sig", "secp521r1.pub", "", fault.OK, 5},
		{"single.sig", "prime256v1.pub", "fraud.onnx", fault.OK, 1},
		{"shards.sig", "prime256v1.pub", "", fault.OK, 4}, // an empty file has none
		{"certificate.sig", "ca.pem", "", fault.OK, 5},
		{"blake3.sig", "prime256v1.pub", "", fault.Unsupported, 0},
		{"prime256v1.sig", "secp384r1.pub", "", fault.Denied, 0},
		{"prime256v1.sig", "ca.pem", "", fault.Denied, 0},
		{"certificate.sig", "prime256v1.pub", "", fault.Denied, 0},
		{"single.sig", "prime256v1.pub", "fraud.bin", fault.BadModel, 0},
		{"single.sig", "prime256v1.pub", "", fault.BadModel, 0},
		{"none.sig", "prime256v1.pub", "", fault.NotFound, 0},
	} {
		model := filepath.Join(theirs(t), test.model)
		v, err := Verify(t.Context(), model, filepath.Join(data, test.sig), trusted(t, data, test.trust), &VerifyOptions{Now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)})
		if fault.CodeOf(err) != test.code || test.code == fault.OK && (v.Files != test.files || v.Signer == "") {
			t.Errorf("%s by %s on %q: want %v and %d files, got %v, %+v", test.sig, test.trust, test.model, test.code, test.files, err, v)
		}
	}
	_, err := Verify(t.Context(), theirs(t), filepath.Join(data, "certificate.sig"), trusted(t, data, "ca.pem"), &VerifyOptions{Now: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	if fault.CodeOf(err) != fault.Denied {
		t.Errorf("a certificate before its time: want Denied, got %v", err)
	}
}

// changes are what may happen to a model after it was signed.
var changes = []struct {
	name   string
	change func(t testing.TB, dir string)
}{
	{"external data changed, the model not", func(t testing.TB, dir string) { put(t, "Weights", dir, "fraud.bin") }},
	{"a byte more", func(t testing.TB, dir string) { put(t, "model+", dir, "fraud.onnx") }},
	{"a byte less", func(t testing.TB, dir string) { put(t, "mode", dir, "fraud.onnx") }},
	{"empty", func(t testing.TB, dir string) { put(t, "", dir, "fraud.onnx") }},
	{"gone", func(t testing.TB, dir string) { os.Remove(filepath.Join(dir, "fraud.bin")) }},
	{"one more", func(t testing.TB, dir string) { put(t, "x", dir, "sub", "more") }},
	{"renamed", func(t testing.TB, dir string) {
		os.Rename(filepath.Join(dir, "fraud.bin"), filepath.Join(dir, "Fraud.bin"))
	}},
	{"in a folder whose name begins as an ignored one", func(t testing.TB, dir string) { put(t, "x", dir, ".gitx", "a") }},
	{".git below the top", func(t testing.TB, dir string) { put(t, "x", dir, "sub", ".git", "a") }},
	{"a link to the same bytes", func(t testing.TB, dir string) {
		os.Rename(filepath.Join(dir, "fraud.bin"), filepath.Join(dir, ".git", "fraud.bin"))
		os.Symlink(filepath.Join(".git", "fraud.bin"), filepath.Join(dir, "fraud.bin"))
	}},
	{"a link to a folder", func(t testing.TB, dir string) { os.Symlink("sub", filepath.Join(dir, "link")) }},
	{"a folder for a file", func(t testing.TB, dir string) {
		os.Remove(filepath.Join(dir, "fraud.bin"))
		put(t, "weights", dir, "fraud.bin", "fraud.bin")
	}},
}

func TestChangesAreRefused(t *testing.T) {
	key, own := newKey(t, elliptic.P256())
	ours := filepath.Join(t.TempDir(), "ours.sig")
	if _, err := Sign(t.Context(), theirs(t), ours, key, nil); err != nil {
		t.Fatal(err)
	}
	for sig, trust := range map[string]*Trust{ours: own, "testdata/theirs/prime256v1.sig": trusted(t, "testdata/theirs/prime256v1.pub"), "testdata/theirs/shards.sig": trusted(t, "testdata/theirs/prime256v1.pub")} {
		for _, c := range changes {
			dir := theirs(t)
			if _, err := Verify(t.Context(), dir, sig, trust, nil); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir)
			if _, err := Verify(t.Context(), dir, sig, trust, nil); fault.CodeOf(err) != fault.BadModel {
				t.Errorf("%s, %s: want BadModel, got %v", sig, c.name, err)
			}
		}
		dir := theirs(t) // what may change all the same
		put(t, "x", dir, ".git", "more")
		put(t, "x", dir, ".gitignore")
		put(t, "x", dir, "log", "1")
		if _, err := Verify(t.Context(), dir, sig, trust, &VerifyOptions{Ignore: []string{"log/"}}); err != nil {
			t.Errorf("%s, what is ignored: %v", sig, err)
		}
		if _, err := Verify(t.Context(), dir, sig, trust, &VerifyOptions{Unsigned: true}); err != nil {
			t.Errorf("%s, with unsigned files: %v", sig, err)
		}
		put(t, "Weights", dir, "fraud.bin")
		if _, err := Verify(t.Context(), dir, sig, trust, &VerifyOptions{Unsigned: true, Ignore: []string{"fraud.bin", "log"}}); fault.CodeOf(err) != fault.BadModel {
			t.Errorf("%s, a signed file that is to be ignored: want BadModel, got %v", sig, err)
		}
	}
}

// The same model and key give the same bytes, in the specification's form.
func TestSign(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, trust := newKey(t, curve)
		dir := theirs(t)
		sig := filepath.Join(dir, "model.sig") // in the model
		if v, err := Sign(t.Context(), dir, sig, key, &SignOptions{Ignore: []string{"sub"}}); err != nil || v.Files != 4 {
			t.Fatalf("%v, %+v", err, v)
		}
		first := read(t, sig)
		if _, err := Sign(t.Context(), dir, sig, key, &SignOptions{Ignore: []string{"sub"}}); err != nil || !bytes.Equal(first, read(t, sig)) {
			t.Errorf("signed again: %v, and other bytes", err)
		}
		put(t, "x", dir, "sub", "other")
		v, err := Verify(t.Context(), dir, sig, trust, nil)
		if err != nil || v.Name != "model" || v.Signer != "key "+Fingerprint(key.Public()) {
			t.Errorf("%v, %+v", err, v)
		}
		var b wire
		var s statement
		if err := json.Unmarshal(first, &b); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Envelope.Payload, &s); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range s.Predicate.Resources {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, "|"); got != "empty|fraud.bin|fraud.onnx|sub.Ä b" {
			t.Errorf("signed %s", got)
		}
		if got := strings.Join(s.Predicate.Serialization.Ignored, "|"); got != ".git|.gitattributes|.github|.gitignore|model.sig|sub" {
			t.Errorf("left out %s", got)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".model*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	key, _ := newKey(t, elliptic.P256())
	link := theirs(t)
	if err := os.Symlink("fraud.bin", filepath.Join(link, "link")); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]fault.Code{t.TempDir(): fault.BadModel, link: fault.BadModel, filepath.Join(link, "none"): fault.NotFound} {
		if _, err := Sign(t.Context(), dir, filepath.Join(t.TempDir(), "a.sig"), key, nil); fault.CodeOf(err) != want {
			t.Errorf("%s: want %v, got %v", dir, want, err)
		}
	}
	if _, err := Sign(t.Context(), theirs(t), filepath.Join(t.TempDir(), "none", "a.sig"), key, nil); fault.CodeOf(err) != fault.Denied {
		t.Errorf("nowhere to write to: %v", err)
	}
}

// A signer that is trusted, and makes a statement that it should not.
func TestStatementsAreRefused(t *testing.T) {
	key, trust := newKey(t, elliptic.P256())
	zero := strings.Repeat("0", 64)
	good := func() *statement {
		return &statement{Type: statementType, PredicateType: predicateType, Subject: []subject{{"m", nil}},
			Predicate: &predicate{Resources: []resource{{"a", "sha256", zero}}, Serialization: serialization{Method: "files", HashType: "sha256"}}}
	}
	size := func(n float64) *float64 { return &n }
	for _, test := range []struct {
		name   string
		code   fault.Code
		change func(*statement)
	}{
		{"as it should be", fault.NotFound, func(*statement) {}}, // the model
		{"type", fault.Invalid, func(s *statement) { s.Type = "https://in-toto.io/Statement/v0.1" }},
		{"predicate type", fault.Invalid, func(s *statement) { s.PredicateType = "https://slsa.dev/provenance/v1" }},
		{"no subject", fault.Invalid, func(s *statement) { s.Subject = nil }},
		{"two subjects", fault.Invalid, func(s *statement) { s.Subject = append(s.Subject, s.Subject[0]) }},
		{"no predicate", fault.Invalid, func(s *statement) { s.Predicate = nil }},
		{"no files", fault.Invalid, func(s *statement) { s.Predicate.Resources = nil }},
		{"hash", fault.Unsupported, func(s *statement) { s.Predicate.Serialization.HashType = "md5" }},
		{"algorithm", fault.Invalid, func(s *statement) { s.Predicate.Resources[0].Algorithm = "md5" }},
		{"method", fault.Invalid, func(s *statement) { s.Predicate.Serialization.Method = "tensors" }},
		{"digest too short", fault.Invalid, func(s *statement) { s.Predicate.Resources[0].Digest = "00" }},
		{"out of the model", fault.Invalid, func(s *statement) { s.Predicate.Resources[0].Name = "../a" }},
		{"absolute", fault.Invalid, func(s *statement) { s.Predicate.Resources[0].Name = "/a" }},
		{"not clean", fault.Invalid, func(s *statement) { s.Predicate.Resources[0].Name = "a//b" }},
		{"twice", fault.Invalid, func(s *statement) { s.Predicate.Resources = append(s.Predicate.Resources, s.Predicate.Resources[0]) }},
		{"root digest", fault.Invalid, func(s *statement) { s.Subject[0].Digest = map[string]string{"sha256": zero} }},
		{"files with a shard size", fault.Invalid, func(s *statement) { s.Predicate.Serialization.Shard = size(3) }},
		{"shards without a size", fault.Invalid, func(s *statement) { s.Predicate.Serialization.Method = "shards" }},
		{"half a byte", fault.Invalid, func(s *statement) {
			s.Predicate.Serialization = serialization{"shards", "sha256", size(1.5), false, nil}
		}},
		{"no range", fault.Invalid, func(s *statement) { s.Predicate.Serialization = serialization{"shards", "sha256", size(3), false, nil} }},
		{"range too long", fault.Invalid, func(s *statement) {
			s.Predicate.Serialization = serialization{"shards", "sha256", size(3), false, nil}
			s.Predicate.Resources[0].Name = "a:0:4"
		}},
		{"range from within", fault.Invalid, func(s *statement) {
			s.Predicate.Serialization = serialization{"shards", "sha256", size(3), false, nil}
			s.Predicate.Resources[0].Name = "a:1:3"
		}},
	} {
		s := good()
		test.change(s)
		if len(s.Subject) > 0 && s.Subject[0].Digest == nil && s.Predicate != nil {
			h := sha256.New()
			for _, r := range s.Predicate.Resources {
				raw, _ := hex.DecodeString(r.Digest)
				h.Write(raw)
			}
			for i := range s.Subject {
				s.Subject[i].Digest = map[string]string{"sha256": hex.EncodeToString(h.Sum(nil))}
			}
		}
		text, err := key.seal(s)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "a.sig")
		put(t, string(text), file)
		if _, err := Verify(t.Context(), filepath.Join(t.TempDir(), "none"), file, trust, nil); fault.CodeOf(err) != test.code {
			t.Errorf("%s: want %v, got %v", test.name, test.code, err)
		}
	}
}

// A gap between shards, or one that is there twice, leaves bytes unsigned.
func TestShardsCoverTheFile(t *testing.T) {
	key, trust := newKey(t, elliptic.P256())
	dir := t.TempDir()
	put(t, "abcdefgh", dir, "m", "a")
	for ranges, want := range map[string]fault.Code{"a:0:3 a:3:6 a:6:8": fault.OK, "a:6:8 a:0:3 a:3:6": fault.OK, "a:0:3 a:6:8": fault.BadModel, "a:0:3 a:3:6": fault.BadModel, "a:0:2 a:3:6 a:6:8": fault.BadModel, "a:0:3 a:0:3 a:3:6 a:6:8": fault.BadModel, "a:3:6 a:6:8": fault.BadModel, "a:0:3 a:3:6 a:6:9": fault.BadModel} {
		n := 3.0
		s := &statement{Type: statementType, PredicateType: predicateType, Predicate: &predicate{Serialization: serialization{"shards", "sha256", &n, false, nil}}}
		all := sha256.New()
		for _, name := range strings.Fields(ranges) {
			part := sha256.Sum256([]byte("abcdefgh")[name[2]-'0' : min(name[4]-'0', 8)])
			all.Write(part[:])
			s.Predicate.Resources = append(s.Predicate.Resources, resource{name, "sha256", hex.EncodeToString(part[:])})
		}
		s.Subject = []subject{{"m", map[string]string{"sha256": hex.EncodeToString(all.Sum(nil))}}}
		text, err := key.seal(s)
		if err != nil {
			t.Fatal(err)
		}
		put(t, string(text), dir, "a.sig")
		if _, err := Verify(t.Context(), filepath.Join(dir, "m"), filepath.Join(dir, "a.sig"), trust, nil); fault.CodeOf(err) != want {
			t.Errorf("%s: want %v, got %v", ranges, want, err)
		}
	}
}

// A file that is two ranges of another one, with what is between them left out.
func TestShardsHaveTheirPlace(t *testing.T) {
	key, trust := newKey(t, elliptic.P256())
	dir, n := t.TempDir(), 3.0
	put(t, "abcghi", dir, "m", "a")
	s := &statement{Type: statementType, PredicateType: predicateType, Predicate: &predicate{Serialization: serialization{"shards", "sha256", &n, false, nil}}}
	all := sha256.New()
	for _, part := range [][2]string{{"a:0:3", "abc"}, {"a:6:9", "ghi"}} {
		sum := sha256.Sum256([]byte(part[1]))
		all.Write(sum[:])
		s.Predicate.Resources = append(s.Predicate.Resources, resource{part[0], "sha256", hex.EncodeToString(sum[:])})
	}
	s.Subject = []subject{{"m", map[string]string{"sha256": hex.EncodeToString(all.Sum(nil))}}}
	text, err := key.seal(s)
	if err != nil {
		t.Fatal(err)
	}
	put(t, string(text), dir, "a.sig")
	if _, err := Verify(t.Context(), filepath.Join(dir, "m"), filepath.Join(dir, "a.sig"), trust, nil); fault.CodeOf(err) != fault.BadModel {
		t.Errorf("want BadModel, got %v", err)
	}
}

// Whose certificate it is, when, and for what.
func TestCertificates(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	type issued struct {
		c   *x509.Certificate
		key *ecdsa.PrivateKey
	}
	issue := func(name string, by *issued, change func(*x509.Certificate)) *issued {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
			IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
		if by == nil {
			c.KeyUsage = x509.KeyUsageCertSign
			by = &issued{c, key}
		}
		change(c)
		der, err := x509.CreateCertificate(rand.Reader, c, by.c, &key.PublicKey, by.key)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		return &issued{c, key}
	}
	as := func(*x509.Certificate) {}
	root, stranger := issue("root", nil, as), issue("stranger", nil, as)
	trust := &Trust{roots: x509.NewCertPool()}
	trust.roots.AddCert(root.c)
	between := issue("between", root, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	leaf := issue("signer", root, as)
	other := issue("other", root, as)
	for name, test := range map[string]struct {
		chain []*issued
		key   *ecdsa.PrivateKey
		code  fault.Code
	}{
		"as it should be":       {[]*issued{leaf}, leaf.key, fault.OK},
		"with the root":         {[]*issued{leaf, root}, leaf.key, fault.OK},
		"another's key":         {[]*issued{leaf}, other.key, fault.Denied},
		"another's certificate": {[]*issued{other, leaf}, leaf.key, fault.Denied},
		"a stranger's":          {[]*issued{issue("signer", stranger, as), stranger}, leaf.key, fault.Denied},
		"itself":                {[]*issued{stranger}, stranger.key, fault.Denied},
		"for nothing":           {[]*issued{issue("n", root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })}, nil, fault.Denied},
		"for code": {[]*issued{issue("c", root, func(c *x509.Certificate) {
			c.KeyUsage, c.ExtKeyUsage = 0, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		})}, nil, fault.OK},
		"ended":                          {[]*issued{issue("e", root, func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) })}, nil, fault.Denied},
		"over another":                   {[]*issued{issue("l", between, as), between}, nil, fault.OK},
		"over another that is not there": {[]*issued{issue("l", between, as)}, nil, fault.Denied},
		"by one that may not":            {[]*issued{issue("l", leaf, as), leaf}, nil, fault.Denied},
	} {
		if test.key == nil {
			test.key = test.chain[0].key
		}
		payload := []byte("{}")
		key := &Key{test.key}
		sig, err := key.key.Sign(nil, hashFor(key.Public(), signed(payload)), hashName(key.Public()))
		if err != nil {
			t.Fatal(err)
		}
		b := &Bundle{subject: "b", payload: payload, sig: sig}
		b.material.Chain = &chain{}
		for _, c := range test.chain {
			b.material.Chain.Certificates = append(b.material.Chain.Certificates, certificate{c.c.Raw})
		}
		if _, err := trust.check(b, now); fault.CodeOf(err) != test.code {
			t.Errorf("%s: want %v, got %v", name, test.code, err)
		}
	}
}

func TestParseBundleRefuses(t *testing.T) {
	good := string(read(t, "testdata/theirs/prime256v1.sig"))
	if _, err := ParseBundle("b", []byte(good)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in it", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, text := range map[string]string{
		"nothing": "", "null": "null", "garbage": "{]", "cut off": good[:len(good)/2], "two": good + good,
		"media type":    replace("bundle.v0.3+json", "bundle.v9.9+json"),
		"no material":   replace(`"verificationMaterial"`, `"other"`),
		"no envelope":   replace(`"dsseEnvelope"`, `"other"`),
		"payload type":  replace("application/vnd.in-toto+json", "text/plain"),
		"no signatures": replace(`"signatures"`, `"other"`),
		"no signature":  replace(`"sig"`, `"other"`),
		"no base64":     replace(`"payload":"`, `"payload":"!`),
	} {
		if _, err := ParseBundle("b", []byte(text)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: want Invalid, got %v", name, err)
		}
	}
	if _, err := ParseBundle("b", make([]byte, MaxBundle+1)); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("too long: %v", err)
	}
	trust := trusted(t, "testdata/theirs/prime256v1.pub")
	for name, test := range map[string]struct {
		material string
		code     fault.Code
	}{
		"keyless":   {`{"certificate": {"rawBytes": "AA=="}}`, fault.Unsupported},
		"nothing":   {`{}`, fault.Invalid},
		"both":      {`{"publicKey": {}, "x509CertificateChain": {"certificates": [{"rawBytes": "AA=="}]}}`, fault.Invalid},
		"no chain":  {`{"x509CertificateChain": {}}`, fault.Invalid},
		"old style": {`{"publicKey": {"rawBytes": "AA==", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}}`, fault.OK},
	} {
		var b map[string]json.RawMessage
		if err := json.Unmarshal([]byte(good), &b); err != nil {
			t.Fatal(err)
		}
		b["verificationMaterial"] = json.RawMessage(test.material)
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := ParseBundle("b", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.check(bundle, time.Now()); fault.CodeOf(err) != test.code {
			t.Errorf("%s: want %v, got %v", name, test.code, err)
		}
	}
}

func TestKeys(t *testing.T) {
	key, _ := newKey(t, elliptic.P256())
	small, _ := newKey(t, elliptic.P224())
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	sec1 := func(k *Key) []byte {
		der, err := x509.MarshalECPrivateKey(k.key)
		return block("EC PRIVATE KEY", der, err)
	}
	pkcs8 := func(k any) []byte { der, err := x509.MarshalPKCS8PrivateKey(k); return block("PRIVATE KEY", der, err) }
	public := func(k any) []byte { der, err := x509.MarshalPKIXPublicKey(k); return block("PUBLIC KEY", der, err) }
	for name, test := range map[string]struct {
		text        []byte
		sign, check bool
	}{
		"SEC 1":            {sec1(key), true, false},
		"with parameters":  {append(block("EC PARAMETERS", []byte{1}, nil), sec1(key)...), true, false},
		"PKCS #8":          {pkcs8(key.key), true, false},
		"public":           {public(key.Public()), false, true},
		"two public":       {append(public(key.Public()), public(key.Public())...), false, true},
		"certificate":      {read(t, "testdata/theirs/ca.pem"), false, true},
		"P-224":            {sec1(small), false, false},
		"public, P-224":    {public(small.Public()), false, false},
		"RSA":              {pkcs8(other), false, false},
		"public, RSA":      {public(&other.PublicKey), false, false},
		"encrypted":        {block("ENCRYPTED PRIVATE KEY", []byte{1}, nil), false, false},
		"damaged":          {block("EC PRIVATE KEY", []byte{1}, nil), false, false},
		"damaged, public":  {block("PUBLIC KEY", []byte{1}, nil), false, false},
		"damaged, certif.": {block("CERTIFICATE", []byte{1}, nil), false, false},
		"something":        {[]byte("something"), false, false},
	} {
		if _, err := ParseKey("k", test.text); (err == nil) != test.sign || err != nil && fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s as a private key: %v", name, err)
		}
		if _, err := ParseTrust("k", test.text); (err == nil) != test.check || err != nil && fault.CodeOf(err) != fault.BadConfig {
			t.Errorf("%s as a public key: %v", name, err)
		}
	}
}

// No bundle and no payload, however signed, ends in anything but a verdict, and
// what is taken names no file outside the model.
func FuzzBundle(f *testing.F) {
	for _, name := range []string{"prime256v1", "shards", "single", "certificate", "blake3"} {
		text := read(f, "testdata/theirs", name+".sig")
		b, err := ParseBundle("b", text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(b.payload)
	}
	trust := trusted(f, "testdata/theirs/ca.pem")
	trust.keys = trusted(f, "testdata/theirs/prime256v1.pub").keys
	f.Fuzz(func(t *testing.T, text []byte) {
		payload := text
		if b, err := ParseBundle("b", text); err == nil {
			trust.check(b, time.Unix(0, 0))
			payload = b.payload
		}
		m, err := parseStatement("b", payload)
		if err != nil {
			return
		}
		if len(m.files) == 0 {
			t.Error("a statement of nothing")
		}
		for file := range m.files {
			if file != "." && !filepath.IsLocal(file) {
				t.Errorf("a file outside: %q", file)
			}
		}
	})
}
