package cdk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"

	"godwit.dev/infra/spec"
	"godwit.dev/runtime/fault"
)

// Function is a function folder and what was packaged of it for AWS Lambda.
// Exactly one of Zip and Image is set, none without targets.awslambda.
type Function struct {
	Spec  *spec.Spec // has targets.awslambda, or targets.sagemaker alone
	Dir   string     // the folder of godwit.yaml
	Zip   string     // path of the package
	Image string     // repository@sha256:…, in a registry of ECR

	// What the functions of one stack share.
	key       awskms.IKey
	vpcConfig *awslambda.CfnFunction_VpcConfigProperty
}

// LoadOptions says what Load cannot know from the folder.
type LoadOptions struct {
	Zip   string // the package, where godwit.yaml says package: zip
	Image string // repository@sha256:…, where it says package: image
}

// Load reads the function folder dir. Errors: BadConfig, NotFound where there is
// no package yet.
func Load(dir string, o *LoadOptions) (*Function, error) {
	if o == nil {
		o = &LoadOptions{}
	}
	s, err := spec.Load(dir)
	if err != nil {
		return nil, err
	}
	subject := filepath.Join(dir, spec.FileName)
	t := s.Targets.AWSLambda
	switch {
	case t == nil && s.Targets.SageMaker != nil:
		return &Function{Spec: s, Dir: dir}, nil // the image that godwit.lock names
	case t == nil:
		e := fault.New(fault.BadConfig, "cdk.Load", subject, "want a target awslambda or sagemaker, got none")
		e.Hint = "Add targets: {awslambda: {}}."
		return nil, e
	}
	f := &Function{Spec: s, Dir: dir, Zip: o.Zip, Image: o.Image}
	if t.Package == "image" {
		if f.Image == "" || f.Zip != "" {
			e := fault.New(fault.BadConfig, "cdk.Load", subject, "package is image, want the digest of one, got none")
			e.Hint = "Run godwit package " + dir + " --target awslambda --push, and give the reference that it prints."
			return nil, e
		}
		return f, nil
	}
	if f.Image != "" {
		return nil, fault.New(fault.BadConfig, "cdk.Load", subject, "package is zip, got an image").
			WithHint("Give the zip alone, or say package: image under awslambda.")
	}
	if _, err := os.Stat(f.Zip); f.Zip == "" || errors.Is(err, fs.ErrNotExist) {
		e := fault.New(fault.NotFound, "cdk.Load", subject, "want a package, got none at %q", f.Zip)
		e.Hint = "Run godwit package " + dir + " --target awslambda -o " + s.Name + ".zip."
		return nil, e
	}
	return f, nil
}
