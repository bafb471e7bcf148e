package cost

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"godwit.dev/infra/data"
	"godwit.dev/runtime/fault"
)

// Ask says what a Report is about.
type Ask struct {
	Function string
	Configs  []*Config
	Times    *Times
	Arrivals Arrivals // of a Trace, its mean rate too
	// Free takes off what every account has free each month; it is shared with
	// all else that the account runs.
	Free bool
	// Regions, where there are any, are where to price; a target whose prices
	// are not known to hold in one of them is unknown.
	Regions []string
	// Now is when prices are looked at; required.
	Now time.Time
	// Progress, if not nil, is told before each simulation.
	Progress func(done, all int, name string)
}

// Report is what a function costs; its JSON is documented in docs/cost.md.
type Report struct {
	Schema   string   `json:"schema"`
	Function string   `json:"function"`
	Requests Requests `json:"requests_a_month"`
	Trace    bool     `json:"trace"`
	Free     bool     `json:"free_tier"`
	Times    *Times   `json:"times"`
	Rows     []*Row   `json:"targets"`
	// Cheapest are the ranges of rates with the target that is the cheapest from
	// there on, among those of Rows that are known.
	Cheapest []From `json:"cheapest"`
	// Prices is the day of the oldest price.
	Prices   string   `json:"prices_of,omitempty"`
	Warnings []string `json:"warnings"`
}

// ReportSchema names the document.
const ReportSchema = "godwit.dev/cost/v1"

// From is the cheapest from so many requests a month on.
type From struct {
	Requests Requests `json:"requests_a_month"`
	Name     string   `json:"target"`
}

// Row is one Config's.
type Row struct {
	Name          string   `json:"target"`
	Configuration string   `json:"configuration"`
	Kind          Kind     `json:"billed_by"`
	Chosen        bool     `json:"chosen"`
	Unknown       string   `json:"unknown,omitempty"`
	Region        string   `json:"region,omitempty"`
	Instances     float64  `json:"instances,omitempty"` // that are needed at the rate
	Idle          *Money   `json:"idle_usd,omitempty"`
	At            *Figures `json:"at_rate,omitempty"`
	Ten           *Figures `json:"at_ten_times,omitempty"`
	// BreakEven is, where this one is billed by use, the fewest requests from which a
	// standing machine is cheaper; where it stands, those from which it is cheaper
	// than the cheapest at the rate that is billed by use. nil: never, up to 10^10.
	BreakEven *BreakEven `json:"break_even,omitempty"`
	Over      []string   `json:"over,omitempty"` // what it cannot serve as it is configured
	Excluded  []string   `json:"not_included"`

	config   *Config
	compared bool // with one that stands, or that does not where it does
}

// Figures are those of one rate.
type Figures struct {
	Requests Requests `json:"requests_a_month"`
	USD      Money    `json:"usd"`
	// Low and High are the ends where times of serving and of starting are half
	// and twice what was measured.
	Low  Money `json:"low_usd"`
	High Money `json:"high_usd"`
	// PerMillion is dollars for a million requests.
	PerMillion *Money `json:"usd_a_million,omitempty"`
	// Sensitivity is the cost with one of them changed, without a trace.
	Sensitivity map[string]Money `json:"sensitivity_usd,omitempty"`
	Bill        *Bill            `json:"bill"`
	// Seen is nil where the platform is not simulated; SlowP99 and FastP99 are
	// with all times twice and half of it.
	Seen    *Seen   `json:"seen,omitempty"`
	FastP99 float64 `json:"p99_fast_ms,omitempty"`
	SlowP99 float64 `json:"p99_slow_ms,omitempty"`
}

// BreakEven is a number of requests a month.
type BreakEven struct {
	Against  string   `json:"against"`
	Requests Requests `json:"requests_a_month"`
}

// New makes the report: what is known first, the cheapest at the rate first. Errors:
// Usage for a region that nobody has prices of, those of a trace, Canceled.
func New(ctx context.Context, a *Ask) (*Report, error) {
	if err := checkRegions(a.Regions); err != nil {
		return nil, err
	}
	l := a.Times.Load()
	r := &Report{Schema: ReportSchema, Function: a.Function, Requests: a.Arrivals.Rate, Trace: a.Arrivals.Trace != nil, Free: a.Free, Times: a.Times, Warnings: []string{}}
	stale, oldest := map[string]bool{}, ""
	for i, c := range a.Configs {
		if a.Progress != nil {
			a.Progress(i, len(a.Configs), c.Name)
		}
		row := &Row{Name: c.Name, Configuration: c.Text, Kind: c.Kind, Chosen: c.Chosen, Unknown: c.Unknown, Excluded: c.excluded(a.Free), config: c}
		r.Rows = append(r.Rows, row)
		if err := row.fill(ctx, a, l); err != nil {
			return nil, err
		}
		for _, f := range []*Figures{row.At, row.Ten} {
			if f == nil {
				continue
			}
			for _, s := range f.Bill.sources {
				if oldest == "" || s.Day < oldest {
					oldest = s.Day
				}
			}
			for _, s := range f.Bill.stale(func(s data.Source) int { return s.Age(a.Now) }) {
				stale[s.String()] = true
			}
		}
	}
	r.Prices = oldest
	for _, s := range slices.Sorted(func(yield func(string) bool) {
		for s := range stale {
			if !yield(s) {
				return
			}
		}
	}) {
		r.Warnings = append(r.Warnings, fmt.Sprintf("prices are older than %d days: %s", data.StaleDays, s))
	}
	if m := a.Times.Memory; m > 0 {
		for _, row := range r.Rows {
			if c := row.config; c.memory > 0 && int64(c.memory) < m && row.Unknown == "" {
				row.Over = append(row.Over, fmt.Sprintf("%s of memory, and the server took %.0f MiB", c.memory, float64(m)/(1<<20)))
			}
		}
	}
	slices.SortStableFunc(r.Rows, func(a, b *Row) int {
		if (a.At == nil) != (b.At == nil) {
			return map[bool]int{true: 1, false: -1}[a.At == nil]
		}
		if a.At == nil {
			return 0
		}
		return a.At.USD.Cmp(b.At.USD)
	})
	r.compare(a, l)
	return r, nil
}

func (c *Config) excluded(free bool) []string {
	if !free {
		return append(slices.Clone(c.Excluded), "what is free: --free-tier takes it off")
	}
	return append(slices.Clone(c.Excluded), "what else takes of the account's free tier")
}

func checkRegions(regions []string) error {
	var known []string
	for _, target := range order() {
		known = append(known, data.SameRegions(target)...)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, r := range regions {
		if !slices.Contains(known, r) {
			return fault.New(fault.Usage, "cost.New", "--region", "want a region whose prices are known here, got %q", r).WithHint("One of %v.", known)
		}
	}
	return nil
}

// regions are where c costs what its prices say.
func (c *Config) regions() []string {
	if p, ok := data.FindPrice(c.Target, data.MachineHour, c.machine); ok && c.machine != "" {
		return []string{p.Region}
	}
	all := data.SameRegions(c.Target)
	if c.gpus > 0 {
		all = all[:1] // the lists of GPUs are others
	}
	return all
}

func (row *Row) fill(ctx context.Context, a *Ask, l *Load) error {
	c := row.config
	if row.Unknown != "" {
		return nil
	}
	regions := c.regions()
	if len(a.Regions) > 0 && c.Kind != Device {
		at := slices.IndexFunc(a.Regions, func(r string) bool { return slices.Contains(regions, r) })
		if at < 0 {
			row.Unknown = fmt.Sprintf("its prices are known in %v alone", regions)
			return nil
		}
		row.Region = a.Regions[at]
	}
	idle := c.Bill(c.Idle(l), a.Free)
	if row.Unknown = idle.Unknown; row.Unknown != "" {
		return nil
	}
	service, start := a.Times.tail()
	at, err := c.figures(ctx, a, &a.Arrivals, l, service, start, true)
	if err != nil {
		return err
	}
	if row.Unknown = at.Bill.Unknown; row.Unknown != "" {
		return nil
	}
	ten := Arrivals{Rate: min(10*a.Arrivals.Rate, MaxRequests)}
	row.At, row.Idle = at, &idle.Total
	row.Ten, err = c.figures(ctx, a, &ten, l, service, start, false)
	if row.Region == "" {
		row.Region = at.Bill.Region
	}
	row.Instances = c.Needed(a.Arrivals.Rate, l)
	if s := at.Seen; s != nil && s.Refused > 0.001 {
		row.Over = append(row.Over, fmt.Sprintf("%.2g %% of the requests are refused, by the simulator", s.Refused*100))
	}
	for _, rate := range []Requests{a.Arrivals.Rate, ten.Rate} {
		if c.Over(rate, l) {
			row.Over = append(row.Over, fmt.Sprintf("%v need more than the %d instances that it may have; they are billed here", rate, c.max))
			break
		}
	}
	return err
}

// figures are those of one rate. With a trace the bill is of what the simulator
// counted, else of the closed forms.
func (c *Config) figures(ctx context.Context, a *Ask, arrivals *Arrivals, l *Load, service, start float64, all bool) (*Figures, error) {
	bill := func(l *Load, play bool) (*Bill, *Seen, error) {
		used := c.Steady(arrivals.Rate, l)
		if !play {
			return c.Bill(used, a.Free), nil, nil
		}
		seen, played, err := c.Simulate(ctx, arrivals, l, service, start)
		if err != nil {
			return nil, nil, err
		}
		if played != nil && arrivals.Trace != nil {
			used = played
		}
		return c.Bill(used, a.Free), seen, nil
	}
	f := &Figures{Requests: arrivals.Rate}
	b, seen, err := bill(l, true)
	if err != nil {
		return nil, err
	}
	f.Bill, f.USD, f.Seen, f.Low, f.High = b, b.Total, seen, b.Total, b.Total
	if arrivals.Rate >= 1000 {
		f.PerMillion = &Money{new(big.Rat).Quo(b.Total.rat(), big.NewRat(int64(arrivals.Rate), 1e6))}
	}
	widen := func(m Money) {
		if m.Cmp(f.Low) < 0 {
			f.Low = m
		}
		if m.Cmp(f.High) > 0 {
			f.High = m
		}
	}
	f.Sensitivity = map[string]Money{}
	for _, s := range []struct {
		name           string
		service, start float64
	}{{"service_half", 0.5, 1}, {"service_double", 2, 1}, {"start_half", 1, 0.5}, {"start_double", 1, 2}, {"all_half", 0.5, 0.5}, {"all_double", 2, 2}} {
		scaled := l.Scaled(s.service, s.start)
		ends := s.service == s.start
		if arrivals.Trace != nil && !ends {
			continue // a trace is played each time
		}
		// The ends are played too, for their latencies; a trace has no closed form.
		b, seen, err := bill(&scaled, all && ends || arrivals.Trace != nil)
		if err != nil {
			return nil, err
		}
		if seen != nil && s.name == "all_half" {
			f.FastP99 = seen.P99
		} else if seen != nil && s.name == "all_double" {
			f.SlowP99 = seen.P99
		}
		total := b.Total
		widen(total)
		if !ends {
			f.Sensitivity[s.name] = total
		}
	}
	return f, nil
}

// The rates that are looked at for break-even: 24 to a decade.
const (
	perDecade = 24
	decades   = 10
)

// grid are those rates, from one request a month on.
func grid() []Requests {
	var all []Requests
	for i := range perDecade*decades + 1 {
		r := Requests(math.Round(math.Pow(10, float64(i)/perDecade)))
		if len(all) == 0 || r > all[len(all)-1] {
			all = append(all, r)
		}
	}
	return all
}

// curve is c's cost at each rate of the grid.
func (c *Config) curve(rates []Requests, l *Load, free bool) []Money {
	all := make([]Money, len(rates))
	for i, r := range rates {
		all[i] = c.Bill(c.Steady(r, l), free).Total
	}
	return all
}

// compare fills in the break-even points and who is cheapest from where on.
func (r *Report) compare(a *Ask, l *Load) {
	rates := grid()
	var known []*Row
	curves := map[*Row][]Money{}
	for _, row := range r.Rows {
		if row.At != nil && row.config.Kind != Device {
			known = append(known, row)
			curves[row] = row.config.curve(rates, l, a.Free)
		}
	}
	for _, row := range known {
		stands := row.config.Kind == Standing
		for _, other := range known {
			if (other.config.Kind == Standing) == stands {
				continue
			}
			row.compared = true
			x, y := row, other // from use to a machine
			if stands {
				x, y = other, row
			}
			n := crossing(x.config, y.config, curves[x], curves[y], rates, l, a.Free)
			if n > 0 && (row.BreakEven == nil || n < row.BreakEven.Requests) {
				row.BreakEven = &BreakEven{Against: other.Name, Requests: n}
			}
			if stands {
				break // the first is the cheapest at the rate
			}
		}
	}
	r.Cheapest = []From{}
	if known == nil {
		return
	}
	// Far beyond the rate it is a matter of steps of machines that nobody asked about.
	end := max(1000*a.Arrivals.Rate, 1e8)
	winner := func(n Requests) *Row {
		var best *Row
		var least Money
		for _, row := range known {
			if usd := row.config.Bill(row.config.Steady(n, l), a.Free).Total; best == nil || usd.Cmp(least) < 0 {
				best, least = row, usd
			}
		}
		return best
	}
	// between finds where winners change above low, up to high.
	var between func(low, high Requests, was, is *Row)
	between = func(low, high Requests, was, is *Row) {
		switch mid := low + (high-low)/2; {
		case was == is:
		case low+1 >= high:
			r.Cheapest = append(r.Cheapest, From{high, is.Name})
		default:
			middle := winner(mid)
			between(low, mid, was, middle)
			between(mid, high, middle, is)
		}
	}
	best := winner(rates[0])
	r.Cheapest = append(r.Cheapest, From{rates[0], best.Name})
	for i := 1; i < len(rates) && rates[i] <= end; i++ {
		next := winner(rates[i])
		between(rates[i-1], rates[i], best, next)
		best = next
	}
}

// crossing is the fewest requests from which y is cheaper than x, which was cheaper
// or the same below; 0 for none.
func crossing(x, y *Config, xs, ys []Money, rates []Requests, l *Load, free bool) Requests {
	for i := 1; i < len(rates); i++ {
		if xs[i-1].Cmp(ys[i-1]) <= 0 && xs[i].Cmp(ys[i]) > 0 {
			return bisect(x, y, rates[i-1], rates[i], l, free)
		}
	}
	return 0
}

// bisect is the first number of requests above low at which x and y compare as at
// high; at low they compare otherwise.
func bisect(x, y *Config, low, high Requests, l *Load, free bool) Requests {
	order := func(n Requests) int {
		return x.Bill(x.Steady(n, l), free).Total.Cmp(y.Bill(y.Steady(n, l), free).Total)
	}
	end := order(high)
	for low+1 < high {
		if mid := low + (high-low)/2; order(mid) == end {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// Hold says which row costs more than most, or cannot be held to it since it is
// unknown: those that named have, else those of the spec; nil for none. Errors:
// TooLarge, Unsupported.
func (r *Report) Hold(most Money, named []string) error {
	for _, row := range r.Rows {
		// A whole target by a star is held as far as it is known.
		star := slices.Contains(named, row.config.Target+"/*") && row.At != nil
		if len(named) == 0 && !row.Chosen || len(named) > 0 && !star && !slices.Contains(named, row.Name) {
			continue
		}
		if row.At == nil {
			return fault.New(fault.Unsupported, "cost.Hold", row.Name, "want its cost, to hold it to %v a month, got none: %s", most, row.Unknown).
				WithHint("Name the targets to hold with --target.")
		}
		if row.At.USD.Cmp(most) > 0 {
			return fault.New(fault.TooLarge, "cost.Hold", row.Name, "want at most %v a month, got %v at %v", most, row.At.USD, row.At.Requests)
		}
	}
	return nil
}
