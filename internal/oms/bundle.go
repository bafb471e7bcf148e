// Package oms signs models and checks signatures as OpenSSF Model Signing v1.0
// has it: a Sigstore bundle in JSON, in which a DSSE envelope holds an in-toto
// statement with the digest of every file. Keys and certificates come from
// files; nothing asks a network. What other implementations sign is checked the
// same way, and they check what is signed here.
package oms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"godwit.dev/runtime/fault"
)

const (
	// MaxBundle is how long a bundle may be, in bytes: a file takes about 150 of them.
	MaxBundle = 32 << 20

	mediaType     = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://model_signing/signature/v1.0"
)

// A Bundle is a signature's file. Nothing in it is trusted before Trust has
// checked it.
type Bundle struct {
	subject  string // in errors
	payload  []byte
	sig      []byte
	material material
}

// material says with what the bundle was signed; one member is there.
type material struct {
	PublicKey   *publicKey   `json:"publicKey,omitempty"`
	Chain       *chain       `json:"x509CertificateChain,omitempty"`
	Certificate *certificate `json:"certificate,omitempty"` // Sigstore's keyless signing
	Log         []any        `json:"tlogEntries"`
}

// publicKey names a key, in a way that producers choose.
type publicKey struct {
	Hint string `json:"hint,omitempty"`
}

// chain is the signer's certificate and those between it and a trusted one.
type chain struct {
	Certificates []certificate `json:"certificates"`
}

type certificate struct {
	Raw []byte `json:"rawBytes"` // DER
}

// wire is a bundle as its file has it.
type wire struct {
	MediaType string    `json:"mediaType"`
	Material  *material `json:"verificationMaterial"`
	Envelope  *envelope `json:"dsseEnvelope"`
}

type envelope struct {
	Payload     []byte   `json:"payload"`
	PayloadType string   `json:"payloadType"`
	Signatures  []sealed `json:"signatures"`
}

type sealed struct {
	Sig   []byte `json:"sig"`
	KeyID string `json:"keyid"` // not used
}

// ReadBundle reads the bundle at path. Errors: as ParseBundle, NotFound.
func ReadBundle(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, "oms.ReadBundle", path, "%w", errors.Unwrap(err)).WithHint("Name the signature's file.")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxBundle+1))
	if err != nil {
		return nil, fault.New(fault.Invalid, "oms.ReadBundle", path, "%w", errors.Unwrap(err))
	}
	return ParseBundle(path, text)
}

// ParseBundle reads text, which may be anybody's; subject names it in errors.
// Members that are not known are left alone, as the specification wants it.
// Errors: Invalid, TooLarge.
func ParseBundle(subject string, text []byte) (*Bundle, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "oms.ParseBundle", subject, format, args...).WithHint("Give a signature of OpenSSF Model Signing v1, unchanged.")
	}
	if len(text) > MaxBundle {
		return nil, fault.New(fault.TooLarge, "oms.ParseBundle", subject, "want at most %d bytes, got more", MaxBundle)
	}
	var w wire
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&w); err != nil {
		return nil, bad("want a Sigstore bundle in JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("want one value, got more behind it")
	}
	switch {
	case w.MediaType != mediaType:
		return nil, bad("want media type %q, got %q", mediaType, w.MediaType)
	case w.Material == nil:
		return nil, bad("want verificationMaterial, got none")
	case w.Envelope == nil:
		return nil, bad("want a dsseEnvelope, got none")
	case w.Envelope.PayloadType != payloadType:
		return nil, bad("want payload type %q, got %q", payloadType, w.Envelope.PayloadType)
	case len(w.Envelope.Signatures) != 1:
		return nil, bad("want one signature, got %d", len(w.Envelope.Signatures))
	case len(w.Envelope.Signatures[0].Sig) == 0:
		return nil, bad("want a signature, got an empty one")
	}
	return &Bundle{subject, w.Envelope.Payload, w.Envelope.Signatures[0].Sig, *w.Material}, nil
}

// signed are the bytes that a signature is of: DSSE's pre-authentication encoding.
func signed(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}
