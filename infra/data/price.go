package data

import (
	"slices"
	"strings"
)

// A Meter names what a price is for. Its unit is part of it; all are for an hour.
type Meter string

// The meters.
const (
	CPUHour     Meter = "cpu"     // one vCPU
	MemoryHour  Meter = "memory"  // 1 GiB, as the platform counts it
	GPUHour     Meter = "gpu"     // one GPU
	MachineHour Meter = "machine" // one machine of the type in Price.Of
)

// HoursPerMonth is what the platforms' own calculators take.
const HoursPerMonth = 730

// A Price is what one unit costs for an hour in dollars, without tax, rebates and
// what is free, in the region that the platform's price list begins with.
type Price struct {
	Target string
	Meter  Meter
	Of     string   // the machine or GPU; "" where there is one kind
	When   []string // the choices of the spec that it holds for, as Limit's
	USD    float64
	Region string
	Source Source
}

// FindPrice is the price of target's meter for a spec with these choices: of those
// that hold, the one that names most of them; false where nobody wrote one down,
// which means that it is not known here, and not that it is free.
func FindPrice(target string, meter Meter, of string, choices ...string) (Price, bool) {
	best, found := Price{}, -1
	for _, p := range prices {
		if p.Target != target || p.Meter != meter || !strings.EqualFold(p.Of, of) || len(p.When) <= found {
			continue
		}
		if !slices.ContainsFunc(p.When, func(w string) bool { return !slices.Contains(choices, w) }) {
			best, found = p, len(p.When)
		}
	}
	return best, found >= 0
}

// Prices are all there are. The caller may change them.
func Prices() []Price { return slices.Clone(prices) }
