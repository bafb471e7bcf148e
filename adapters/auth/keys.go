package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/infer"
)

// KeyOptions say where the accepted API keys stand: in List or in File.
type KeyOptions struct {
	// List is the keys themselves, separated by commas or line ends.
	List string
	// File has one key in each line, '#' begins a comment. It is read again
	// within seconds of a change; one that cannot be read or has a mistake
	// changes nothing, and is logged.
	File string
	Rate Rate         // of each key
	Log  *slog.Logger // nil discards
}

// The bounds of keys. The lower one stops passwords: keys are never typed.
const (
	minKey  = 16
	maxKey  = 512
	maxKeys = 10000
	minSalt = 8
	maxSalt = 64
)

// Keys returns an Authorizer that takes API keys, as the x-api-key header or
// as a bearer token. Close it. Errors: BadConfig.
func Keys(o *KeyOptions) (*Authorizer, error) {
	k := &keys{}
	if o.File == "" {
		ring, err := parseKeys(strings.FieldsFunc(o.List, func(r rune) bool { return r == ',' || r == '\n' }), "entry")
		if err != nil {
			return nil, err
		}
		k.ring.Store(ring)
	} else if err := k.follow(o.File, o.Log); err != nil {
		return nil, err
	}
	return &Authorizer{verifier: k, rate: o.Rate.limiter()}, nil
}

// keys takes API keys.
type keys struct {
	ring atomic.Pointer[keyring]
	file *keyFile // nil without one
}

func (k *keys) credential(header func(string) []string) (string, error) {
	key, err := one(header, "x-api-key")
	if key == "" && err == nil {
		key, err = bearer(header)
	}
	if key == "" && err == nil {
		err = unauthenticated("want an API key, got none").WithHint("Send it as x-api-key, or as Authorization: Bearer.")
	}
	return key, err
}

func (k *keys) verify(_ context.Context, key string) (identity, error) {
	if who, ok := k.ring.Load().find(key); ok {
		return who, nil
	}
	return identity{}, unauthenticated("this API key is not accepted")
}

func (k *keys) close() {
	if k.file != nil {
		k.file.close()
	}
}

// keyring holds the accepted keys as salted hashes.
type keyring struct {
	groups []keyGroup
	owners []identity
}

// keyGroup is the keys with one salt.
type keyGroup struct {
	salt   string
	hashes []keyHash
	owners []uint64 // of each hash: its place in the ring and one
}

// keyHash is a SHA-256 in words: comparing four of them without a branch takes
// a twentieth of what crypto/subtle takes for the bytes.
type keyHash [4]uint64

func hashOf(text []byte) keyHash {
	sum := sha256.Sum256(text)
	return wordsOf(sum[:])
}

func wordsOf(sum []byte) (h keyHash) {
	for i := range h {
		h[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	return h
}

// same is all ones when the hashes are equal, else 0, in constant time.
func (h *keyHash) same(o *keyHash) uint64 {
	d := (h[0] ^ o[0]) | (h[1] ^ o[1]) | (h[2] ^ o[2]) | (h[3] ^ o[3])
	return (d|-d)>>63 - 1
}

// find looks at every key, whatever it found, and compares in constant time:
// the time tells nothing about the keys but how many there are.
func (r *keyring) find(key string) (identity, bool) {
	if len(key) > maxKey {
		return identity{}, false
	}
	var owner uint64
	var text [maxSalt + maxKey]byte
	for i := range r.groups {
		g := &r.groups[i]
		n := copy(text[:], g.salt)
		n += copy(text[n:], key)
		hash := hashOf(text[:n])
		for j := range g.hashes {
			same := hash.same(&g.hashes[j])
			owner = owner&^same | g.owners[j]&same
		}
	}
	if owner == 0 {
		return identity{}, false
	}
	return r.owners[owner-1], true
}

// parseKeys reads one key from each entry that is not empty or a comment; unit
// names an entry in errors, which never quote one.
func parseKeys(entries []string, unit string) (*keyring, error) {
	// Keys that are given as they are get a salt of this process, so that its
	// memory holds nothing that a table of known hashes would open.
	own := rand.Text()
	r := &keyring{}
	bySalt := map[string]int{}
	names := map[string]int{}
	type groupHash struct {
		group int
		hash  keyHash
	}
	seen := map[groupHash]int{}
	for i, entry := range entries {
		entry = strings.TrimSpace(entry)
		if entry == "" || entry[0] == '#' {
			continue
		}
		at := fmt.Sprintf("%s %d", unit, i+1)
		if len(r.owners) == maxKeys {
			return nil, badKeys(at, "want at most %d keys, got more", maxKeys)
		}
		who, secret, err := parseOwner(entry, at, len(r.owners)+1)
		if err != nil {
			return nil, err
		}
		salt, hash, err := parseSecret(secret, own, at)
		if err != nil {
			return nil, err
		}
		if first, dup := names[who.caller]; dup {
			return nil, badKeys(at, "want a name for each key, got %q as in %s %d", who.caller, unit, first).
				WithHint("Give each key its own name; limits and logs tell callers apart by it.")
		}
		names[who.caller] = i + 1
		g, ok := bySalt[salt]
		if !ok {
			g = len(r.groups)
			bySalt[salt] = g
			r.groups = append(r.groups, keyGroup{salt: salt})
		}
		group := &r.groups[g]
		if first, dup := seen[groupHash{g, hash}]; dup {
			return nil, badKeys(at, "want each key once, got the one of %s %d again", unit, first)
		}
		seen[groupHash{g, hash}] = i + 1
		group.hashes = append(group.hashes, hash)
		r.owners = append(r.owners, who)
		group.owners = append(group.owners, uint64(len(r.owners)))
	}
	if len(r.owners) == 0 {
		return nil, badKeys("", "want at least one API key, got none").WithHint(makeKey)
	}
	return r, nil
}

const makeKey = "`openssl rand -hex 24` makes a good one."

// parseOwner cuts NAME: or NAME:SCOPES: off an entry.
func parseOwner(entry, at string, number int) (identity, string, error) {
	parts := strings.Split(entry, ":")
	who := identity{caller: fmt.Sprintf("key-%d", number), scopes: usual}
	secret := parts[len(parts)-1]
	if len(parts) > 3 {
		return who, "", badKeys(at, "want KEY, NAME:KEY or NAME:SCOPES:KEY, got %d parts", len(parts))
	}
	if len(parts) == 1 {
		return who, secret, nil
	}
	// Not quoted: with the parts in the wrong order it is the key.
	if who.caller = parts[0]; !infer.ValidName(who.caller) {
		return who, "", badKeys(at, "want a name of 1 to 128 letters, digits, '_', '.' and '-' before the first ':'")
	}
	if len(parts) == 2 {
		return who, secret, nil
	}
	who.scopes = 0
	for _, word := range strings.Split(parts[1], "+") {
		one := scopeOf(oip.Scope(word))
		if one == 0 {
			return who, "", badKeys(at, "want the scopes infer, metadata, metrics and admin, joined by '+', between the ':'")
		}
		who.scopes |= one
	}
	return who, secret, nil
}

// parseSecret returns the hash of a key, and the salt that it has: own for a
// key that is given as it is.
func parseSecret(secret, own, at string) (salt string, hash keyHash, err error) {
	if rest, ok := strings.CutPrefix(secret, "sha256$"); ok {
		salt, digits, _ := strings.Cut(rest, "$")
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != sha256.Size || len(salt) < minSalt || len(salt) > maxSalt || strings.Trim(salt, keyLetters) != "" {
			return "", hash, badKeys(at, "want sha256$SALT$HEX with %d to %d letters and digits of salt and %d hexadecimal digits", minSalt, maxSalt, 2*sha256.Size)
		}
		return salt, wordsOf(sum), nil
	}
	switch {
	case len(secret) < minKey:
		return "", hash, badKeys(at, "want a key of at least %d characters, got %d", minKey, len(secret)).WithHint(makeKey)
	case len(secret) > maxKey:
		return "", hash, badKeys(at, "want a key of at most %d characters, got %d", maxKey, len(secret))
	case strings.Trim(secret, keyLetters) != "":
		return "", hash, badKeys(at, "want a key of letters, digits and -._~+/=, got another character").WithHint(makeKey)
	}
	return own, hashOf([]byte(own + secret)), nil
}

// keyLetters are what a bearer token may consist of.
const keyLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="

func badKeys(at, format string, args ...any) *fault.Error {
	return fault.New(fault.BadConfig, "auth.Keys", at, format, args...)
}
