package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"godwit.dev/internal/oms"
	"godwit.dev/runtime/fault"
)

type signOptions struct {
	key, trust, signature string
	ignore                []string
	unsigned              bool
}

func (p *program) newSign() *cobra.Command {
	var o signOptions
	cmd := &cobra.Command{
		Use:     "sign DIR|FILE --key KEY.pem | --trust PUB.pem",
		GroupID: "ship",
		Short:   "Sign a model, a function folder or a package, or check a signature",
		Long: `sign --key writes a signature of every file in a folder, or of one file: a model,
a function folder, a package. sign --trust says whether such a signature is by one
whose public key or certificate the file holds, and whether the files are those
that were signed: none changed, none missing, none added.

Signatures are those of OpenSSF Model Signing v1: a Sigstore bundle in JSON. What
other implementations sign with a key or a certificate is checked too, and they
check what is signed here. Keys are ECDSA on P-256, P-384 or P-521 in PEM:

  openssl ecparam -name prime256v1 -genkey -noout -out key.pem
  openssl ec -in key.pem -pubout -out pub.pem

The signature is beside what it is of, named DIR.sig or FILE.sig, unless
--signature names another file. .git, .gitattributes, .github and .gitignore of a
folder are not signed, nor is the signature itself. Symbolic links are refused.
Nothing asks a network, so Sigstore's keyless signatures are not checked.

--quiet prints nothing, and checks the same.

Exit codes: 0 signed, or the signature is good, 2 wrong usage, 3 the signature's
file is none, 4 no such file, 7 a keyless signature or another digest than SHA-256,
8 not signed by whom you trust, 11 the files are not those that were signed, 12 a
key that cannot be used.`,
		Example: `  godwit sign fraud.zip --key key.pem
  godwit sign fraud.zip --trust pub.pem
  godwit sign models/ --trust pub.pem --signature models/model.sig`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.signModel(cmd.Context(), args[0], &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "sign with this private key")
	f.StringVar(&o.trust, "trust", "", "check a signature by these public keys or certificates")
	f.StringVar(&o.signature, "signature", "", "the signature's file (default DIR.sig or FILE.sig)")
	f.StringArrayVar(&o.ignore, "ignore", nil, "a path in the folder to leave out; may be given again")
	f.BoolVar(&o.unsigned, "ignore-unsigned", false, "with --trust: let there be files that are not signed")
	return cmd
}

func (p *program) signModel(ctx context.Context, path string, o *signOptions) error {
	if (o.key == "") == (o.trust == "") {
		return fault.New(fault.Usage, "", "--key", "want --key to sign or --trust to check, one of them")
	}
	if o.unsigned && o.trust == "" {
		return fault.New(fault.Usage, "", "--ignore-unsigned", "want it with --trust, got it with --key")
	}
	if o.signature == "" {
		o.signature = signatureOf(path)
	}
	if o.trust != "" {
		v, err := checkSignature(ctx, path, o)
		if err != nil {
			return err
		}
		p.signed(v, o.signature, "good")
		return nil
	}
	v, err := signWith(ctx, path, o)
	if err != nil {
		return err
	}
	p.signed(v, o.signature, "signed")
	return nil
}

// signatureOf is where a signature is unless it is said.
func signatureOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return path + ".sig"
}

func signWith(ctx context.Context, path string, o *signOptions) (*oms.Verified, error) {
	text, err := pemFile(o.key)
	if err != nil {
		return nil, err
	}
	key, err := oms.ParseKey(o.key, text)
	if err != nil {
		return nil, err
	}
	return oms.Sign(ctx, path, o.signature, key, &oms.SignOptions{Ignore: o.ignore})
}

func checkSignature(ctx context.Context, path string, o *signOptions) (*oms.Verified, error) {
	text, err := pemFile(o.trust)
	if err != nil {
		return nil, err
	}
	trust, err := oms.ParseTrust(o.trust, text)
	if err != nil {
		return nil, err
	}
	return oms.Verify(ctx, path, o.signature, trust, &oms.VerifyOptions{Ignore: o.ignore, Unsigned: o.unsigned})
}

// mustBeSigned checks the signature beside path where there is somebody to trust.
func mustBeSigned(ctx context.Context, path, trust string) error {
	if trust == "" {
		return nil
	}
	_, err := checkSignature(ctx, path, &signOptions{trust: trust, signature: signatureOf(path)})
	return err
}

func pemFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.BadConfig, "", path, "%w", errors.Unwrap(err)).WithHint("Name a file in PEM.")
	}
	return text, nil
}

// signed prints what a signature says; documented in docs/cli.md.
func (p *program) signed(v *oms.Verified, signature, what string) {
	switch {
	case p.json:
		writeJSON(p.Stdout, struct {
			*oms.Verified
			Signature string `json:"signature"`
		}{v, signature})
	case !p.quiet:
		fmt.Fprintf(p.Stdout, "%s: %s by %s, %s\n", signature, what, v.Signer, plural(v.Files, "file"))
	}
}
