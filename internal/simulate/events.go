package simulate

// What happens in a cell.
const (
	runEnds  uint8 = iota // of inst, in slot
	leaves                // r leaves inst, its answer being encoded
	becomes               // inst becomes ready
	idles                 // inst may have been idle for long enough
	crashes               // inst does
	patience              // the first that waits may have waited for long enough
)

type event struct {
	at   int64
	seq  uint64 // events of one moment happen in the order in which they were made
	kind uint8
	slot int32
	inst *instance
	r    *request
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// events is a binary heap; container/heap would box each event.
type events []event

func (h *events) push(e event) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
}

func (h *events) pop() event {
	s := *h
	first, last := s[0], s[len(s)-1]
	s[len(s)-1] = event{}
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return first
	}
	i := 0
	for {
		k := 2*i + 1
		if k >= len(s) {
			break
		}
		if k+1 < len(s) && s[k+1].before(&s[k]) {
			k++
		}
		if !s[k].before(&last) {
			break
		}
		s[i] = s[k]
		i = k
	}
	s[i] = last
	return first
}

// request is one on its way. fifo links it.
type request struct {
	at, began int64
	service   int64 // 0: by the table
	startTook int64
	cold      bool
	counted   bool
	proxied   bool // came through an activator
	next      *request
}

// fifo is a queue of requests.
type fifo struct {
	first, last *request
	n           int
}

func (f *fifo) push(r *request) {
	r.next = nil
	if f.last == nil {
		f.first = r
	} else {
		f.last.next = r
	}
	f.last = r
	f.n++
}

func (f *fifo) pop() *request {
	r := f.first
	if f.first = r.next; f.first == nil {
		f.last = nil
	}
	r.next = nil
	f.n--
	return r
}
