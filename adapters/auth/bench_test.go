package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"godwit.dev/adapters/oip"
)

// What a check costs each request.
func BenchmarkAuthorize(b *testing.B) {
	list := func(n int) string {
		lines := []string{"first:" + testKey}
		for i := 1; i < n; i++ {
			lines = append(lines, fmt.Sprintf("k%d:%032d", i, i))
		}
		return strings.Join(lines, "\n")
	}
	rate := Rate{PerSecond: 1e9, Burst: 1e6}
	run := func(name string, a *Authorizer, header string, value string) {
		b.Run(name, func(b *testing.B) {
			h := headers(header, value)
			if _, err := a.Authorize(context.Background(), h, oip.ScopeInfer); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = a.Authorize(context.Background(), h, oip.ScopeInfer)
			}
		})
	}
	run("key of 1", newKeys(b, &KeyOptions{List: list(1)}), "x-api-key", testKey)
	run("key of 1 with a rate", newKeys(b, &KeyOptions{List: list(1), Rate: rate}), "x-api-key", testKey)
	run("key of 1000", newKeys(b, &KeyOptions{List: list(1000)}), "x-api-key", testKey)
	token := "Bearer " + goodToken(time.Now(), nil)
	run("token", newTokens(b, TokenOptions{}), "authorization", token)
	run("token with a rate", newTokens(b, TokenOptions{Rate: rate}), "authorization", token)
	b.Run("token that is new", func(b *testing.B) {
		a := newTokens(b, TokenOptions{})
		now := time.Now()
		set, err := a.verifier.(*tokens).keys.get(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		token := goodToken(now, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := a.verifier.(*tokens).open(b.Context(), token, set); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("wrong key", func(b *testing.B) {
		a, h := newKeys(b, &KeyOptions{List: list(1)}), headers("x-api-key", "wrong")
		b.ReportAllocs()
		for b.Loop() {
			_, _ = a.Authorize(context.Background(), h, oip.ScopeInfer)
		}
	})
}
