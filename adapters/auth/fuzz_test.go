package auth

import (
	"strings"
	"testing"

	"godwit.dev/runtime/fault"
)

// No list of keys makes the parser panic; what it takes finds its keys again,
// and what it refuses is not told.
func FuzzKeys(f *testing.F) {
	for _, s := range []string{testKey, "bob:" + testKey, "bob:infer+admin:" + testKey + "\n# x\n\n" + testKey + "2", "h:" + hashedKey, "a:b:c:d", "sha256$$", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		lines := strings.Split(list, "\n")
		ring, err := parseKeys(lines, "line")
		if err != nil {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Fatal(err)
			}
			for _, line := range lines {
				if secret := strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:]); len(secret) >= minKey && strings.Contains(err.Error(), secret) {
					t.Fatalf("%q is in the error %v", secret, err)
				}
			}
			return
		}
		found := 0
		for _, line := range lines {
			secret := strings.TrimSpace(line[strings.LastIndexByte(line, ':')+1:])
			if who, ok := ring.find(secret); ok {
				found++
				if who.caller == "" || who.scopes == 0 {
					t.Fatalf("%q belongs to %+v", secret, who)
				}
			}
		}
		if hashed := strings.Count(list, "sha256$"); found+hashed < len(ring.owners) {
			t.Fatalf("%d of %d keys were found again, %d are hashed", found, len(ring.owners), hashed)
		}
	})
}

// No document of an issuer makes the parser panic, or gives a key that is not public.
func FuzzKeySet(f *testing.F) {
	f.Add(jwks(jwk("rsa", nil), jwk("p256", nil), jwk("p384", nil), jwk("ed", nil)))
	f.Add(jwks(object{"kty": "oct", "k": "AAAA"}, with(jwk("ed", nil), object{"d": "AAAA", "use": "enc"})))
	f.Add(jwks(with(jwk("rsa", nil), object{"x5c": []string{"AAAA"}, "e": "AA"})))
	f.Add([]byte(`{"keys":[null,1,[],{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeySet(data)
		if err != nil {
			return
		}
		if len(set.keys) == 0 || len(set.keys) > maxSetKeys {
			t.Fatalf("%d keys", len(set.keys))
		}
		for i := range set.keys {
			k := &set.keys[i]
			if !k.IsPublic() {
				t.Fatalf("key %d is not public", i)
			}
			for _, alg := range algorithms() {
				if key, ok := set.find(k.KeyID, string(alg)); ok && key == nil {
					t.Fatal("no key was found")
				}
			}
			if _, ok := set.find(k.KeyID, "none"); ok {
				t.Fatal("a key for none")
			}
			if _, ok := set.find(k.KeyID, "HS256"); ok {
				t.Fatal("a key for HS256")
			}
		}
	})
}
