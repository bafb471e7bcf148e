// Package conformance asks Knative's own admission code about what package
// knative renders: strict decoding into Knative's types, their defaults and
// their validation, as the webhook of a cluster does it, in this process.
//
// It is a module of its own, so that nothing of Knative and Kubernetes is
// linked into a binary of Godwit. It has tests only.
package conformance
