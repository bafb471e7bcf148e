// Package replay holds a test alone: it sends what PyPI's tritonclient once
// sent, byte for byte, to a server in this process, and compares the answers
// with those of then. So `make test` sees the client's real requests without
// Python. e2e/tritonclient records them.
package replay
