package trigger

import (
	"context"
	"fmt"
	"runtime/debug"

	"godwit.dev/runtime/fault"
)

// Run has h do the work of ev and returns one outcome for each item, whatever
// h does: one that panics or returns too few or too many outcomes leaves Retry
// behind, and one that is not asked because ctx has ended too. Of the outcomes
// those that are Done have no Err, and all others have one. Order is kept:
// behind an item to be delivered again, what must not overtake it is Retry as
// well, even if it was done. A nil h refuses all items for good, with
// Unsupported.
//
// Run returns when h does, because until then the event is h's.
func Run(ctx context.Context, h Handler, ev *Event) []Outcome {
	var out []Outcome
	switch {
	case h == nil:
		out = all(len(ev.Items), Outcome{State: Permanent, Err: fault.New(fault.Unsupported, "trigger.Run", ev.Source, "want a function with triggers, got a delivery for one without").
			WithHint("Name what may start it under triggers: in godwit.yaml.")})
	case ctx.Err() != nil:
		out = all(len(ev.Items), Outcome{State: Retry, Err: fault.New(fault.DeadlineExceeded, "trigger.Run", ev.Source, "no time is left: %w", ctx.Err())})
	default:
		out = run(ctx, h, ev)
	}
	hold(ev, out)
	return out
}

func run(ctx context.Context, h Handler, ev *Event) (out []Outcome) {
	defer func() {
		if p := recover(); p != nil {
			out = all(len(ev.Items), Outcome{State: Retry, Err: fault.New(fault.Internal, "trigger.Run", ev.Source, "the handler panicked: %v\n%s", p, debug.Stack())})
		}
	}()
	got := h.Handle(ctx, ev)
	out = make([]Outcome, len(ev.Items))
	copy(out, got)
	for i := range out {
		switch {
		case len(got) != len(ev.Items):
			out[i] = Outcome{State: Retry, Err: fault.New(fault.Internal, "trigger.Run", ev.Source, "want an outcome for each of %d items, got %d", len(ev.Items), len(got))}
		case out[i].State == Done:
			out[i].Err = nil
		case out[i].State > Permanent:
			out[i] = Outcome{State: Retry, Err: fault.New(fault.Internal, "trigger.Run", subject(ev, i), "the handler says state %d, which is none", out[i].State)}
		case out[i].Err == nil:
			out[i].Err = fault.New(fault.Internal, "trigger.Run", subject(ev, i), "it is %s, and the handler does not say why", out[i].State)
		}
	}
	return out
}

// hold lets nothing overtake what is to be delivered again. A permanent
// failure holds nobody up: it goes aside.
func hold(ev *Event, out []Outcome) {
	if ev.Order == Unordered {
		return
	}
	first := map[string]int{} // of a group, the item that holds it up
	for i := range out {
		group := ""
		if ev.Order == Grouped {
			group = ev.Items[i].Group
		}
		if at, held := first[group]; held {
			out[i] = Outcome{State: Retry, Err: fault.New(fault.Unavailable, "trigger.Run", subject(ev, i), "it waits behind item %q", ev.Items[at].ID)}
		} else if out[i].State == Retry {
			first[group] = i
		}
	}
}

func subject(ev *Event, i int) string { return fmt.Sprintf("item %q of %s", ev.Items[i].ID, ev.Source) }

func all(n int, o Outcome) []Outcome {
	out := make([]Outcome, n)
	for i := range out {
		out[i] = o
	}
	return out
}

// Of makes an outcome of how the work on an item ended: Done for nil, and for a
// coded error what its code says. Callers' mistakes, which the same bytes will
// always repeat, are Permanent; everything else may pass.
func Of(err error) Outcome {
	if err == nil {
		return Outcome{State: Done}
	}
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.NotFound, fault.TooLarge, fault.UnsupportedMedia, fault.Unprocessable, fault.Unsupported, fault.Denied, fault.Mismatch:
		return Outcome{State: Permanent, Err: err}
	}
	return Outcome{State: Retry, Err: err}
}
