package oms

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"godwit.dev/runtime/fault"
)

// Key signs.
type Key struct{ key *ecdsa.PrivateKey }

// ParseKey reads a private ECDSA key on P-256, P-384 or P-521 in PEM, as
// `openssl ecparam -genkey` and `openssl genpkey` write it. subject names it in
// errors, which have nothing of the key in them. Errors: BadConfig.
func ParseKey(subject string, text []byte) (*Key, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadConfig, "oms.ParseKey", subject, format, args...).
			WithHint("Make one with `openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem`.")
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "EC PARAMETERS":
			continue
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, bad("want a key without a password, got an encrypted one")
		case block.Type == "EC PRIVATE KEY":
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil || !usable(&key.PublicKey) {
				return nil, bad("want an ECDSA key on P-256, P-384 or P-521, got another one or a damaged one")
			}
			return &Key{key}, nil
		case block.Type == "PRIVATE KEY":
			any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			key, ok := any.(*ecdsa.PrivateKey)
			if err != nil || !ok || !usable(&key.PublicKey) {
				return nil, bad("want an ECDSA key on P-256, P-384 or P-521, got another one or a damaged one")
			}
			return &Key{key}, nil
		}
		return nil, bad("want a private key, got a %q", block.Type)
	}
	return nil, bad("want a private key in PEM, got none")
}

// Public is the key that checks what k signs.
func (k *Key) Public() *ecdsa.PublicKey { return &k.key.PublicKey }

// SignOptions is what varies in Sign. nil means defaults.
type SignOptions struct {
	// Ignore are paths in the model that are left out, beside .git and the like
	// and the signature itself: they may change, come and go.
	Ignore []string
}

// Sign signs the model, a folder or a file, and writes the signature's file,
// which may be in the folder. The same model and key give the same bytes. Links
// are refused. Errors: BadModel, Invalid, NotFound, and Denied where the file
// cannot be written.
func Sign(ctx context.Context, path, signature string, key *Key, opts *SignOptions) (*Verified, error) {
	var o SignOptions
	if opts != nil {
		o = *opts
	}
	m, err := open(path)
	if err != nil {
		return nil, err
	}
	defer m.root.Close()
	ignored := slices.Concat(gitPaths(), o.Ignore)
	if own := m.inside(signature); own != "" {
		ignored = append(ignored, own)
	}
	slices.Sort(ignored)
	ignored = slices.Compact(ignored)
	files, err := m.files(false, func(path string) bool { return under(path, ignored) })
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fault.New(fault.BadModel, "oms.Sign", path, "want a model with files, got none")
	}
	slices.Sort(files) // the specification's order, by code point
	s := statement{Type: statementType, PredicateType: predicateType,
		Predicate: &predicate{Serialization: serialization{Method: "files", HashType: "sha256", Ignored: ignored}}}
	all := sha256.New()
	for _, file := range files {
		if !utf8.ValidString(file) {
			return nil, fault.New(fault.BadModel, "oms.Sign", path, "want names in UTF-8, got %q", file)
		}
		one, err := m.hash(ctx, file)
		if err != nil {
			return nil, err
		}
		all.Write(one[:])
		s.Predicate.Resources = append(s.Predicate.Resources, resource{file, "sha256", hex.EncodeToString(one[:])})
	}
	s.Subject = []subject{{m.name(), map[string]string{"sha256": hex.EncodeToString(all.Sum(nil))}}}
	text, err := key.seal(&s)
	if err != nil {
		return nil, err
	}
	if err := write(signature, text); err != nil {
		return nil, err
	}
	return &Verified{m.name(), "key " + Fingerprint(key.Public()), len(files)}, nil
}

func (m *model) hash(ctx context.Context, file string) (out [sha256.Size]byte, err error) {
	f, err := m.open(file)
	if err != nil {
		return out, err
	}
	defer f.Close()
	if out, _, err = sum(ctx, f, -1); err != nil {
		return out, fault.New(fault.BadModel, "oms.Sign", file, "%w", err)
	}
	return out, nil
}

// seal makes the bundle. The signature is RFC 6979's, without a random number.
func (k *Key) seal(s *statement) ([]byte, error) {
	payload, err := encode(s)
	if err != nil {
		return nil, err
	}
	sig, err := k.key.Sign(nil, hashFor(k.Public(), signed(payload)), hashName(k.Public()))
	if err != nil {
		return nil, fault.New(fault.Internal, "oms.Sign", "", "%w", err)
	}
	w := wire{MediaType: mediaType, Material: &material{Log: []any{}}, Envelope: &envelope{payload, payloadType, []sealed{{sig, ""}}}}
	w.Material.PublicKey = &publicKey{Fingerprint(k.Public())}
	return encode(w)
}

func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "oms.Sign", "", "%w", err)
	}
	return text.Bytes(), nil
}

// write puts text in its place whole, or leaves what was there.
func write(path string, text []byte) (err error) {
	denied := func(err error) error { return fault.New(fault.Denied, "oms.Sign", path, "%w", err) }
	f, err := os.CreateTemp(filepath.Dir(path), "."+strings.TrimPrefix(filepath.Base(path), ".")+"-*")
	if err != nil {
		return denied(errors.Unwrap(err))
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return denied(errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
