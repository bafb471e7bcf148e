package cloudrun

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"godwit.dev/adapters/oip"
	"godwit.dev/runtime/fault"
)

// What Google's identity tokens are checked with.
const (
	Issuer  = "https://accounts.google.com"
	JWKSURL = "https://www.googleapis.com/oauth2/v3/certs"
)

// Push says whose deliveries are taken: the service account's that the push
// subscription or the Eventarc trigger was made with.
type Push struct {
	// Tokens verifies identity tokens: their signature, issuer (Issuer),
	// audience (the one that the subscription names, by default the URL that
	// is pushed to) and times. Required.
	Tokens oip.Authorizer
	// Emails are the service accounts; one of them must be in the token.
	Emails []string
}

func (p *Push) authorize(ctx context.Context, header func(string) []string) error {
	if _, err := p.Tokens.Authorize(ctx, header, oip.ScopeInfer); err != nil {
		return err
	}
	// The token is Google's, and every Google account can have one of those:
	// whose it is makes the difference.
	var claims struct {
		Email    string `json:"email"`
		Verified bool   `json:"email_verified"`
	}
	_, token, _ := strings.Cut(first(header("authorization")), " ")
	parts := strings.Split(strings.TrimSpace(token), ".")
	denied := fault.New(fault.Denied, "cloudrun.Events", "", "this token is not of a service account that may deliver events")
	if len(parts) != 3 {
		return denied
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return denied
	}
	if !claims.Verified || claims.Email == "" || !slices.Contains(p.Emails, claims.Email) {
		return denied
	}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
