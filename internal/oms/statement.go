package oms

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"godwit.dev/runtime/fault"
)

// statement is what is signed.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []subject  `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     *predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Resources     []resource    `json:"resources"`
	Serialization serialization `json:"serialization"`
}

// resource is a file, or a part of one: "path:from:to".
type resource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

type serialization struct {
	Method   string   `json:"method"`
	HashType string   `json:"hash_type"`
	Shard    *float64 `json:"shard_size,omitempty"` // protobuf's JSON has it as 3.0
	Links    bool     `json:"allow_symlinks"`
	Ignored  []string `json:"ignore_paths,omitempty"`
}

// manifest is what a statement says of a model's files.
type manifest struct {
	name    string
	files   map[string][]part // by path; "." is the model itself, where it is one file
	ignored []string
	links   bool
	shard   int64 // 0: whole files
}

// part is a range of a file, and its SHA-256.
type part struct {
	from, to int64 // to is -1 for the whole file
	sum      [sha256.Size]byte
}

// parseStatement reads a payload whose signature is good. It still may be one
// that its signer should not have made. Errors: Invalid, Unsupported.
func parseStatement(subject string, payload []byte) (*manifest, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "oms.Verify", subject, format, args...).WithHint("The signer made a statement that is none of OpenSSF Model Signing v1; have the model signed again.")
	}
	var s statement
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&s); err != nil {
		return nil, bad("want an in-toto statement: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("want one statement, got more behind it")
	}
	switch {
	case s.Type != statementType:
		return nil, bad("want a statement of type %q, got %q", statementType, s.Type)
	case s.PredicateType != predicateType:
		return nil, bad("want predicate type %q, got %q", predicateType, s.PredicateType)
	case len(s.Subject) != 1:
		return nil, bad("want one subject, got %d", len(s.Subject))
	case s.Predicate == nil || len(s.Predicate.Resources) == 0:
		return nil, bad("want the digests of files, got none")
	}
	how := &s.Predicate.Serialization
	if how.HashType != "sha256" {
		return nil, fault.New(fault.Unsupported, "oms.Verify", subject, "want SHA-256 digests, got %q", how.HashType).WithHint("Have the model signed with SHA-256, the default.")
	}
	m := &manifest{name: s.Subject[0].Name, files: map[string][]part{}, ignored: how.Ignored, links: how.Links}
	algorithm := how.HashType
	switch {
	case how.Method == "shards" && how.Shard != nil && *how.Shard >= 1 && *how.Shard <= 1<<53 && *how.Shard == math.Trunc(*how.Shard):
		m.shard = int64(*how.Shard)
		algorithm += "-sharded-" + strconv.FormatInt(m.shard, 10)
	case how.Method != "files" || how.Shard != nil:
		return nil, bad("want method files, or shards with their size, got %q", how.Method)
	}
	all := sha256.New()
	for _, r := range s.Predicate.Resources {
		sum, err := hex.DecodeString(r.Digest)
		if err != nil || len(sum) != sha256.Size {
			return nil, bad("want 64 hexadecimal digits for %q, got %q", r.Name, r.Digest)
		}
		// The specification wants "sha256" for shards too; its first implementation writes their size into it.
		if r.Algorithm != algorithm && r.Algorithm != how.HashType {
			return nil, bad("want algorithm %q for %q, got %q", algorithm, r.Name, r.Algorithm)
		}
		all.Write(sum)
		if err := m.add(r.Name, [sha256.Size]byte(sum), bad); err != nil {
			return nil, err
		}
	}
	if got := hex.EncodeToString(all.Sum(nil)); got != s.Subject[0].Digest["sha256"] {
		return nil, bad("want the subject's SHA-256 to be that of all digests, %s, got %q", got, s.Subject[0].Digest["sha256"])
	}
	return m, nil
}

// add puts in a resource: no path out of the model, no range twice or out of order.
func (m *manifest) add(name string, sum [sha256.Size]byte, bad func(string, ...any) error) error {
	file, one := name, part{0, -1, sum}
	if m.shard > 0 {
		fields := strings.Split(name, ":")
		if len(fields) != 3 {
			return bad("want PATH:FROM:TO, got %q", name)
		}
		var err1, err2 error
		file = fields[0]
		one.from, err1 = strconv.ParseInt(fields[1], 10, 64)
		one.to, err2 = strconv.ParseInt(fields[2], 10, 64)
		if err1 != nil || err2 != nil || one.from%m.shard != 0 || one.from < 0 || one.to <= one.from || one.to-one.from > m.shard {
			return bad("want a range of at most %d bytes from a multiple of that, got %q", m.shard, name)
		}
	}
	if !fs.ValidPath(file) || strings.ContainsRune(file, 0) {
		return bad("want a clean path inside the model, got %q", name)
	}
	if m.shard == 0 && m.files[file] != nil {
		return bad("want each file once, got %q twice", name)
	}
	m.files[file] = append(m.files[file], one)
	return nil
}
