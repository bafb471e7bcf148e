package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"godwit.dev/runtime/fault"
)

// SBOMName is the bill of materials' file, beside godwit.yaml: CycloneDX 1.6.
const SBOMName = "godwit.sbom.json"

// bom is what we write of CycloneDX 1.6; the names are the specification's.
type bom struct {
	Schema       string           `json:"$schema"`
	Format       string           `json:"bomFormat"`
	SpecVersion  string           `json:"specVersion"`
	Serial       string           `json:"serialNumber,omitempty"`
	Version      int              `json:"version"`
	Metadata     bomMetadata      `json:"metadata"`
	Components   []bomComponent   `json:"components"`
	Dependencies []bomDependency  `json:"dependencies"`
	Compositions []bomComposition `json:"compositions"`
}

// bomMetadata has no time: the same inputs give the same bytes.
type bomMetadata struct {
	Lifecycles []bomPhase   `json:"lifecycles"`
	Tools      bomTools     `json:"tools"`
	Component  bomComponent `json:"component"`
}

type bomPhase struct {
	Phase string `json:"phase"`
}

type bomTools struct {
	Components []bomComponent `json:"components"`
}

type bomComponent struct {
	Type        string         `json:"type"`
	Ref         string         `json:"bom-ref,omitempty"`
	Name        string         `json:"name"`
	Version     string         `json:"version,omitempty"`
	Description string         `json:"description,omitempty"`
	Hashes      []bomHash      `json:"hashes,omitempty"`
	Licenses    []bomLicense   `json:"licenses,omitempty"`
	PURL        string         `json:"purl,omitempty"`
	Components  []bomComponent `json:"components,omitempty"`
	ModelCard   *bomModelCard  `json:"modelCard,omitempty"`
	Properties  []bomProperty  `json:"properties,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// bomLicense is an expression of SPDX, or one licence.
type bomLicense struct {
	Expression string         `json:"expression,omitempty"`
	License    *bomLicenseRef `json:"license,omitempty"`
}

type bomLicenseRef struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

type bomProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type bomModelCard struct {
	Parameters bomParameters `json:"modelParameters"`
	Properties []bomProperty `json:"properties,omitempty"`
}

type bomParameters struct {
	Architecture string      `json:"modelArchitecture,omitempty"`
	Inputs       []bomTensor `json:"inputs,omitempty"`
	Outputs      []bomTensor `json:"outputs,omitempty"`
}

type bomTensor struct {
	Format string `json:"format"`
}

type bomDependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

type bomComposition struct {
	Aggregate    string   `json:"aggregate"`
	Assemblies   []string `json:"assemblies,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
}

// text is the document. Its serial number is made of all the rest, so it is
// the same for the same content and no other.
func (b *bom) text() ([]byte, error) {
	b.Serial = ""
	bare, err := b.encode()
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(bare)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // RFC 9562: version 8, whose bits are ours
	b.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	return b.encode()
}

func (b *bom) encode() ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(b); err != nil {
		return nil, fault.New(fault.Internal, "pack.Contents", SBOMName, "%w", err)
	}
	return text.Bytes(), nil
}
