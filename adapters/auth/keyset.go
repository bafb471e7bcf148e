package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	strict "github.com/go-jose/go-jose/v4/json"
)

// unmarshal reads JSON that must mean the same to every reader: names count
// with their case, and none may stand twice.
func unmarshal(data []byte, to any) error { return strict.Unmarshal(data, to) }

// The bounds of a key set.
const (
	maxJWKS    = 256 << 10 // bytes
	maxSetKeys = 64        // that can be used
	minRSABits = 2048
)

// keySet is the issuer's keys at one time, and the tokens that they accepted.
type keySet struct {
	digest [sha256.Size]byte // of the document
	keys   []jose.JSONWebKey // public ones that sign tokens

	mu     sync.Mutex
	tokens recent[[sha256.Size]byte, accepted]
}

// parseKeySet reads a JWK set. Keys of kinds that are not used here are left
// out, as the standard wants; a set without any other is an error.
func parseKeySet(data []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("want a JWK set: %w", err)
	}
	s := &keySet{digest: sha256.Sum256(data)}
	s.tokens.max = maxTokens
	for _, raw := range doc.Keys {
		var k jose.JSONWebKey
		if err := unmarshal(raw, &k); err != nil || !usable(&k) {
			continue
		}
		if len(s.keys) == maxSetKeys {
			return nil, fmt.Errorf("want at most %d keys, got more", maxSetKeys)
		}
		s.keys = append(s.keys, k)
	}
	if len(s.keys) == 0 {
		return nil, errors.New("want a JWK set with an RSA, EC or Ed25519 key for signatures, got none")
	}
	return s, nil
}

func usable(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.E%2 == 1 && key.E > 1
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return k.Valid()
	}
	return false // private or symmetric: published by mistake, and known to all
}

// find is the key of a token: the one with its id, or without an id the only
// one that fits its algorithm.
func (s *keySet) find(id, algorithm string) (any, bool) {
	var found any
	for i := range s.keys {
		k := &s.keys[i]
		if id != "" && k.KeyID != id || !suits(k, algorithm) {
			continue
		}
		if found != nil {
			return nil, false // whichever came first would be a guess
		}
		found = k.Key
	}
	return found, found != nil
}

// suits tells whether a key signs with an algorithm. Were that left to the
// token, it could choose how a key is used.
func suits(k *jose.JSONWebKey, algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[algorithm]
		return key.Curve == curve
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

func (s *keySet) known(token [sha256.Size]byte) (accepted, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.get(token)
}

func (s *keySet) remember(token [sha256.Size]byte, a accepted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.put(token, a)
}
