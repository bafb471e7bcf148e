package functions

import (
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"godwit.dev/runtime/fault"
)

// A value that the SDK has no text for is refused, and not left out.
func TestAttributesWithoutText(t *testing.T) {
	e := cloudevents.Event{Context: &cloudevents.EventContextV1{Extensions: map[string]any{"odd": struct{}{}}}}
	if got, err := eventOf(&e); fault.CodeOf(err) != fault.Invalid || got != nil {
		t.Errorf("want invalid, got %+v, %v", got, err)
	}
}
