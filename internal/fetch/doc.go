// Package fetch brings a model from elsewhere into a folder of this machine,
// once for all processes, and gives it out only when its bytes have the digest
// that was asked for.
//
// A cache folder has, for the model with the digest SHA:
//
//	SHA.onnx   the model, complete and right; whoever uses it holds a shared lock on it
//	SHA.part   what has come so far
//	SHA.state  of which version of the object that is
//	SHA.lock   held by the process that downloads
//
// SHA.part becomes SHA.onnx by a rename, after its digest was compared and its
// bytes were synced, so nobody ever sees half a model. Locks are flock's: they end
// with their process, however that ends, and the next one goes on where it was.
//
// What a URL names is not trusted: every connection is checked when its address
// is known, after each redirect too, and no proxy of the environment is asked,
// which would connect to addresses that nobody here sees.
package fetch
