// Package knative serves a function as a Knative Service: the protocol's routes
// for requests, CloudEvents for what Eventing delivers, and a Job for what a
// JobSink starts.
//
// Events are POSTed to "/", where a Trigger whose subscriber is the Service
// sends them, or to Options.Path. Binary, structured and batched mode are read.
// A sender that says "Prefer: reply", as Brokers and Channels do, gets the
// answer as an event of the type ReplyType, which the Broker delivers to its
// Triggers; everybody else gets an empty answer.
//
// What a status means is in the "Knative Eventing Data Plane Contract": 2xx is
// done, 404, 408, 409, 429 and 5xx are delivered again, other 4xx never, and go
// to the dead letter sink if the Trigger has one.
package knative
