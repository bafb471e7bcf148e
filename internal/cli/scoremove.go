package cli

import (
	"context"
	"errors"
	"math"

	"godwit.dev/adapters/stores/queue"
	"godwit.dev/runtime/fault"
)

// lettersTogether is how many messages are moved at a time.
const lettersTogether = 32

// moveBack sends what is in a dead-letter queue or subscription to the queue or
// topic that it belongs to, where its function gets it as new. It needs no model.
func (p *program) moveBack(ctx context.Context, src, dst string, o *scoreOptions) (err error) {
	options := &queue.Options{Getenv: p.Getenv}
	from, err := queue.OpenLetters(src, options)
	if err != nil {
		return err
	}
	to, err := queue.Open(dst, options)
	if err != nil {
		return err
	}
	r, show := newRedriven(src, dst), p.counting("moving "+src)
	err = move(ctx, from, to, r, o.limit, show)
	show.end()
	if err != nil {
		if r.Done > 0 {
			p.say("%s moved before that.\n", plural(r.Done, "message"))
		}
		return err
	}
	return p.printRedriven(r, "sent to "+dst+" and removed")
}

func move(ctx context.Context, from *queue.Letters, to *queue.Queue, r *redriven, limit int64, show *counting) error {
	if limit == 0 {
		limit = math.MaxInt64
	}
	for left := limit; left > 0; {
		all, err := from.Receive(ctx, int(min(left, lettersTogether)))
		if err != nil || len(all) == 0 {
			return err
		}
		if err := from.Resend(ctx, to, all); err != nil {
			// Others may see them again at once; and this error is not the first.
			return errors.Join(err, quiet(from.Show(context.WithoutCancel(ctx), all)))
		}
		left -= int64(len(all))
		r.Done += len(all)
		show.at(r.Done, 0)
	}
	return nil
}

// quiet drops what a clean-up says of messages that are gone.
func quiet(err error) error {
	if fault.CodeOf(err) == fault.NotFound {
		return nil
	}
	return err
}
