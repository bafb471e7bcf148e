package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Name is what the answer to an item is kept under: the same for the same item
// and model whenever it is delivered, another for another model. It is 64
// hexadecimal digits and ".json".
func Name(key, digest string) string {
	// With its length before it no key can be mistaken for another and a digest.
	sum := sha256.Sum256([]byte(strconv.Itoa(len(key)) + ":" + key + digest))
	return hex.EncodeToString(sum[:]) + ".json"
}
