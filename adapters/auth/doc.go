// Package auth checks callers in process, where no platform does: by API keys
// or by signed tokens of one issuer. Both are an oip.Authorizer, which says
// who calls, whether they may, and whether they call too often.
//
// API keys are one in each line of a file, or separated by commas in a
// variable:
//
//	KEY                       may infer, read metadata and metrics
//	NAME:KEY                  the same, known as NAME in logs and limits
//	NAME:SCOPE+SCOPE:KEY      may do only that: infer, metadata, metrics, admin
//
// where KEY is 16 to 512 of the letters, digits and -._~+/= that a bearer
// token may have, or sha256$SALT$HEX, the SHA-256 of SALT followed by the key.
// docs/auth.md says how to make one.
package auth
