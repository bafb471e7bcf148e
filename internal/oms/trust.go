package oms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	_ "crypto/sha512" // of the larger curves
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"time"

	"godwit.dev/runtime/fault"
)

// Trust is whose signatures are good.
type Trust struct {
	keys  []*ecdsa.PublicKey
	roots *x509.CertPool // nil for none
}

// ParseTrust reads public keys (ECDSA on P-256, P-384 or P-521) and certificates
// that signers' certificates may come from, in PEM. subject names it in errors.
// Errors: BadConfig.
func ParseTrust(subject string, text []byte) (*Trust, error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.BadConfig, "oms.ParseTrust", subject, format, args...).WithHint("Give the signer's public key as `openssl ec -in KEY.pem -pubout` writes it, or a certificate.")
	}
	t := &Trust{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PUBLIC KEY":
			any, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				return nil, bad("want a public key: %w", err)
			}
			key, ok := any.(*ecdsa.PublicKey)
			if !ok || !usable(key) {
				return nil, bad("want an ECDSA key on P-256, P-384 or P-521, got %T", any)
			}
			t.keys = append(t.keys, key)
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, bad("want a certificate: %w", err)
			}
			if t.roots == nil {
				t.roots = x509.NewCertPool()
			}
			t.roots.AddCert(c)
		case "EC PARAMETERS":
		case "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			return nil, bad("want a public key, got a private one, which belongs to the signer alone")
		default:
			return nil, bad("want a public key or a certificate, got a %q", block.Type)
		}
	}
	if len(t.keys) == 0 && t.roots == nil {
		return nil, bad("want a public key or a certificate in PEM, got none")
	}
	return t, nil
}

func usable(key *ecdsa.PublicKey) bool {
	return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
}

// check says who signed b, if it is somebody who is trusted. The key that a
// bundle itself names is never taken for that. Errors: Denied, Invalid, Unsupported.
func (t *Trust) check(b *Bundle, now time.Time) (signer string, err error) {
	denied := func(format string, args ...any) error {
		return fault.New(fault.Denied, "oms.Verify", b.subject, format, args...).WithHint("Nobody who is trusted has signed this; ask who gave it to you.")
	}
	switch m := &b.material; {
	case m.Certificate != nil:
		return "", fault.New(fault.Unsupported, "oms.Verify", b.subject, "want a signature by key or certificate chain, got Sigstore's keyless one").
			WithHint("That is checked with a transparency log, which needs a network; `model_signing verify sigstore` does.")
	case m.PublicKey != nil && m.Chain == nil:
		for _, key := range t.keys {
			if good(key, b) {
				return "key " + Fingerprint(key), nil
			}
		}
		if len(t.keys) == 0 {
			return "", denied("want a signature by certificate, got one by key %.64q", m.PublicKey.Hint)
		}
		return "", denied("want a signature by a trusted key, got one that none of them made, hint %.64q", m.PublicKey.Hint)
	case m.Chain != nil && m.PublicKey == nil && len(m.Chain.Certificates) > 0:
		if t.roots == nil {
			return "", denied("want a signature by key, got one by certificate")
		}
	default:
		return "", fault.New(fault.Invalid, "oms.Verify", b.subject, "want a key or a certificate chain in verificationMaterial, got neither or both")
	}
	certificates := b.material.Chain.Certificates
	leaf, err := x509.ParseCertificate(certificates[0].Raw)
	if err != nil {
		return "", denied("want a certificate: %w", err)
	}
	between := x509.NewCertPool()
	for _, c := range certificates[1:] {
		one, err := x509.ParseCertificate(c.Raw)
		if err != nil {
			return "", denied("want a chain of certificates: %w", err)
		}
		between.AddCert(one)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return "", denied("want a certificate that comes from a trusted one: %w", err)
	}
	if !maySign(leaf) {
		return "", denied("want a certificate for digital signatures or code signing, got %q, which is for neither", leaf.Subject)
	}
	key, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || !usable(key) || !good(key, b) {
		return "", denied("want a signature by the key of %q, got another one", leaf.Subject)
	}
	return "certificate " + leaf.Subject.String(), nil
}

func maySign(c *x509.Certificate) bool {
	if c.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		return true
	}
	for _, use := range c.ExtKeyUsage {
		if use == x509.ExtKeyUsageCodeSigning {
			return true
		}
	}
	return false
}

func good(key *ecdsa.PublicKey, b *Bundle) bool {
	return ecdsa.VerifyASN1(key, hashFor(key, signed(b.payload)), b.sig)
}

// hashFor is the digest that goes with the key's curve.
func hashFor(key *ecdsa.PublicKey, data []byte) []byte {
	h := hashName(key).New()
	h.Write(data)
	return h.Sum(nil)
}

// hashName is the same digest's name.
func hashName(key *ecdsa.PublicKey) crypto.Hash {
	switch key.Curve {
	case elliptic.P384():
		return crypto.SHA384
	case elliptic.P521():
		return crypto.SHA512
	}
	return crypto.SHA256
}

// Fingerprint is how bundles name a key: the SHA-256 of its PEM, in
// hexadecimal; "" for a key that has none.
func Fingerprint(key *ecdsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return hex.EncodeToString(sum[:])
}
