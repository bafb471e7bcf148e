package dynamodb

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/store"
)

// Whatever an answer says, it is a claim that is written as it was read, or an error.
func FuzzDecode(f *testing.F) {
	for _, c := range []store.Claim{
		{Key: "k", Status: store.InProgress, Owner: "o", Validation: "v", Until: time.UnixMilli(1).UTC(), Expires: time.Unix(2, 0).UTC()},
		{Key: "k", Status: store.Completed, Owner: "o", Answer: []byte{0, 255}, Object: "claims/k", Until: time.UnixMilli(-1).UTC(), Expires: time.Unix(0, 0).UTC()},
	} {
		text, err := json.Marshal(map[string]any{"__type": "x#ConditionalCheckFailedException", "Item": encode(&c)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"Item": {"status": {"S": "COMPLETED", "N": "1"}, "owner": null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = refusal("op", "k", 400, text)
		var r response
		if json.Unmarshal(text, &r) != nil {
			return
		}
		c, err := decode("k", r.Item)
		if err != nil {
			return
		}
		again, err := decode("k", encode(c))
		if err != nil {
			t.Fatalf("%+v is written, and cannot be read: %v", c, err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Fatalf("written and read (-want +got):\n%s", diff)
		}
	})
}
