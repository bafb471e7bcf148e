package cdk

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"godwit.dev/runtime/fault"
)

// liveName is the alias that everything calls that calls a function: APIs,
// function URLs and event sources.
const liveName = "live"

// newLive publishes the function as it is in the template as a version, whose
// logical id follows from the package's digest and the function's settings, and
// lets the alias "live" name it. provisioned is how many environments wait; nil
// is none.
func newLive(scope constructs.Construct, function awslambda.Function, provisioned *float64) awslambda.Alias {
	return awslambda.NewAlias(scope, jsii.String("Live"), &awslambda.AliasProps{
		AliasName:                       jsii.String(liveName),
		Version:                         function.CurrentVersion(),
		ProvisionedConcurrentExecutions: provisioned,
	})
}

// versionOptions are those of a function's versions: they say which package they
// are of, and stay when the next one is published, so that it can be gone back
// to. They end with the function. Of a zip Lambda publishes no other: an image's
// digest is in its address.
func versionOptions(digest string, zip bool) *awslambda.VersionOptions {
	o := &awslambda.VersionOptions{RemovalPolicy: awscdk.RemovalPolicy_RETAIN}
	if digest != "" {
		o.Description = jsii.String(digest)
	}
	if sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:")); err == nil && len(sum) == sha256.Size && zip {
		o.CodeSha256 = jsii.String(base64.StdEncoding.EncodeToString(sum))
	}
	return o
}

// packageDigest is "sha256:" and the digest of f's package.
func packageDigest(f *Function) string {
	if f.Image != "" {
		_, digest, _ := strings.Cut(f.Image, "@")
		return digest
	}
	zip, err := os.Open(f.Zip)
	if err != nil {
		panic(fault.New(fault.NotFound, "cdk.Package", f.Zip, "want a package: %w", err))
	}
	defer zip.Close()
	h := sha256.New()
	if _, err := io.Copy(h, zip); err != nil {
		panic(fault.New(fault.Invalid, "cdk.Package", f.Zip, "want a package: %w", err))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
