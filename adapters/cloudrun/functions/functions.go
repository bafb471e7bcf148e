// Package functions registers a function with Google's functions framework, for
// those that are deployed from source to Cloud Functions (today "Cloud Run
// functions"), whose buildpack starts the framework's server. Only a binary
// made for that links this package.
//
// That server has no HTTP/2, no limits and no drain, so a container that serves
// with adapters/httpserve is the better choice wherever one can be deployed.
//
// Functions for events are to be deployed with --concurrency 1. The framework
// has one receiver wait for each request, any of which may take any request's
// event (NewHTTPReceiveHandler of the CloudEvents SDK): it works with another
// request's context, and where that request has ended, its receiver may go
// without taking the event that is left, whose request then waits for ever.
//
// The framework has a third form of function, Typed, which is not used: it
// decodes all requests into one shared value.
package functions

import (
	"context"
	"errors"
	"net/http"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/types"

	"godwit.dev/adapters/cloudrun"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/trigger"
	"godwit.dev/runtime/trigger/cloudevent"
)

// HTTP registers a function for requests: h is what cloudrun.New returns. With
// FUNCTION_TARGET set to name, it gets all paths. Call it from the init function
// of the deployed package, once for each name.
func HTTP(name string, h http.Handler) { functions.HTTP(name, h.ServeHTTP) }

// CloudEvent registers a function for events of Eventarc triggers: Cloud Storage's,
// Pub/Sub's and one's own. A delivery that is not done is answered with 500, by
// which it is delivered again where the function was deployed with --retry.
// The platform has checked who delivers, so of opts who may is not asked again.
func CloudEvent(name string, events trigger.Handler, opts *cloudrun.Options) {
	functions.CloudEvent(name, func(ctx context.Context, e cloudevents.Event) error {
		own, err := eventOf(&e)
		if err == nil {
			err = cloudrun.Do(ctx, own, events, opts)
		}
		if err != nil {
			// The framework writes it to stderr and into the answer. The cause is
			// in the log.
			return errors.New(fault.Public(err))
		}
		return nil
	})
}

func eventOf(e *cloudevents.Event) (*cloudevent.Event, error) {
	own := &cloudevent.Event{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.Time(),
		DataSchema: e.DataSchema(), DataContentType: e.DataContentType(), Data: e.Data(),
	}
	for name, value := range e.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			return nil, fault.New(fault.Invalid, "functions.CloudEvent", "attribute "+name, "%w", err)
		}
		if own.Extensions == nil {
			own.Extensions = map[string]string{}
		}
		own.Extensions[name] = text
	}
	return own, nil
}
