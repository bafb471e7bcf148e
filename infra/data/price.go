package data

import (
	"slices"
	"strings"
	"time"
)

// A Meter names what a price is for. Its unit is part of it.
type Meter string

// The meters of what stands and waits, for an hour.
const (
	CPUHour     Meter = "cpu"     // one vCPU
	MemoryHour  Meter = "memory"  // 1 GiB, as the platform counts it
	GPUHour     Meter = "gpu"     // one GPU
	MachineHour Meter = "machine" // one machine of the type in Price.Of
)

// The meters of what serves, for a second or for one.
const (
	CPUSecond     Meter = "cpu.second"     // one vCPU
	MemorySecond  Meter = "memory.second"  // 1 GiB, as the platform counts it
	StorageSecond Meter = "storage.second" // 1 GiB of files beyond what is free
	Requests      Meter = "requests"       // one request of the function
	Gateway       Meter = "gateway"        // one request of the API in front of it
	Data          Meter = "data"           // 1 GiB that goes in or out of an endpoint
)

// HoursPerMonth is what the platforms' own calculators take.
const HoursPerMonth = 730

// StaleDays is how long a price is believed without a warning.
const StaleDays = 90

// Picodollars are a millionth of a millionth of a dollar: every price list's
// numbers are whole ones.
type Picodollars int64

// Dollar is one.
const Dollar Picodollars = 1e12

// A Price is what one unit costs, without tax, rebates and what is free.
type Price struct {
	Target string
	Meter  Meter
	Of     string   // the machine or GPU; "" where there is one kind
	When   []string // the choices of the spec that it holds for, as Limit's
	// Above is beyond how many units of a month it holds; a later tier's has the
	// same target, meter, kind and choices.
	Above  int64
	Per    Picodollars // one unit of the meter
	Region string      // others with the same price are in SameRegions
	Source Source
}

// USD is the price in dollars, rounded as floats are; sums of money are made of Per.
func (p *Price) USD() float64 { return float64(p.Per) / float64(Dollar) }

// FindPrice is the price of target's meter for a spec with these choices: of those
// that hold, the one that names most of them, and its first tier; false where nobody
// wrote one down, which means that it is not known here, and not that it is free.
func FindPrice(target string, meter Meter, of string, choices ...string) (Price, bool) {
	if tiers := FindTiers(target, meter, of, choices...); tiers != nil {
		return tiers[0], true
	}
	return Price{}, false
}

// FindTiers is FindPrice with all tiers, from the first unit of a month on; nil for
// none. The caller may change them.
func FindTiers(target string, meter Meter, of string, choices ...string) []Price {
	var best []Price
	found := -1
	for _, p := range prices {
		if p.Target != target || p.Meter != meter || !strings.EqualFold(p.Of, of) || len(p.When) < found || !holds(p.When, choices) {
			continue
		}
		if len(p.When) > found {
			best, found = nil, len(p.When)
		}
		best = append(best, p)
	}
	slices.SortFunc(best, func(a, b Price) int { return int(min(max(a.Above-b.Above, -1), 1)) })
	return best
}

func holds(when, choices []string) bool {
	return !slices.ContainsFunc(when, func(w string) bool { return !slices.Contains(choices, w) })
}

// Prices are all there are. The caller may change them.
func Prices() []Price { return slices.Clone(prices) }

// An Allowance is what an account does not pay for in each month.
type Allowance struct {
	Target string
	Meter  Meter
	When   []string
	Units  int64 // of the meter
	Source Source
}

// FindAllowance is what is free of target's meter for a spec with these choices;
// false for nothing. It is the account's, and other functions take from it too.
func FindAllowance(target string, meter Meter, choices ...string) (Allowance, bool) {
	best, found := Allowance{}, -1
	for _, a := range allowances {
		if a.Target == target && a.Meter == meter && len(a.When) > found && holds(a.When, choices) {
			best, found = a, len(a.When)
		}
	}
	return best, best.Units > 0
}

// Allowances are all there are. The caller may change them.
func Allowances() []Allowance { return slices.Clone(allowances) }

// SameRegions are the regions in which target costs what it costs in the region of
// its prices, as far as a document says so; that one is the first.
func SameRegions(target string) []string { return slices.Clone(sameRegions[target]) }

// A Shape is what a machine type has.
type Shape struct {
	Name   string
	CPUs   int
	GPUs   int
	Source Source
}

// FindShape is the shape of a machine type; false where it is not known here.
func FindShape(name string) (Shape, bool) {
	for _, s := range shapes {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return Shape{}, false
}

// Shapes are all there are. The caller may change them.
func Shapes() []Shape { return slices.Clone(shapes) }

// Age is how many days before now a source was read; less than 0 where its day
// cannot be read.
func (s Source) Age(now time.Time) int {
	day, err := time.Parse(time.DateOnly, s.Day)
	if err != nil {
		return -1
	}
	return int(now.Sub(day) / (24 * time.Hour))
}
