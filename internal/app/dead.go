package app

import (
	"godwit.dev/functions/batch"
	"godwit.dev/runtime/trigger"
)

// Dead is the folder below batch.output for what failed for good.
const Dead = "dead/"

// dead is where batch.deadLetter keeps what failed for good, or nil. It is below
// the output, where the function may write anyway, and nothing is ever scored.
func (f *Function) dead(o *batch.Objects) *batch.Dead {
	if b := f.Spec.Batch; b == nil || !b.DeadLetter {
		return nil
	}
	return &batch.Dead{Stores: o.Stores, Prefix: o.Output + Dead, Theirs: platforms}
}

// platforms are items whose failure for good is in better hands with the
// platform: messages that it moves aside as they came, to a queue they can be
// moved back from, and items whose failure somebody is told who asked for them.
// Of objects these queues would only keep that there was an event.
func platforms(ev *trigger.Event, item *trigger.Item) bool {
	switch ev.Kind {
	case "s3batch", "stepfunctions", "sagemaker":
		return true
	case "sqs", "pubsub", "azurequeue", "servicebus":
		return item.Object == nil
	}
	return false
}
