package data_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"godwit.dev/infra/data"
)

// Every price has a target, a region, a source and a day, none is there twice, and
// none is a slip of a power of ten.
func TestPrices(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range data.Prices() {
		id := p.Target + " " + string(p.Meter) + " " + p.Of
		for _, w := range p.When {
			id += " " + w
		}
		id += fmt.Sprint(" above ", p.Above)
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if !slices.Contains(targets, p.Target) || p.Region == "" {
			t.Errorf("%s: want a target and a region, got %+v", id, p)
		}
		// What stands in dollars a month, what serves in dollars for a million.
		per, what := float64(data.HoursPerMonth), "a month"
		if bounds[p.Meter].million {
			per, what = 1e6, "for a million"
		}
		if got, b := p.USD()*per, bounds[p.Meter]; got < b.least || got > b.most {
			t.Errorf("%s: want %v to %v dollars %s, got %v", id, b.least, b.most, what, got)
		}
		if p.Meter == data.Requests && p.Per == 0 && !slices.Contains(p.When, "billing=instance") {
			t.Errorf("%s: want a price", id)
		}
		if p.Source.URL == "" {
			t.Errorf("%s: want the price list's URL, got none", id)
		}
		if regions := data.SameRegions(p.Target); !slices.Contains(regions, p.Region) {
			t.Errorf("%s: want its region among %v, got %q", id, regions, p.Region)
		}
		check(t, id, p.Source)
	}
}

// bounds are dollars of a month, or of a million units.
var bounds = map[data.Meter]struct {
	least, most float64
	million     bool
}{
	data.CPUHour: {5, 150, false}, data.MemoryHour: {4, 15, false}, data.GPUHour: {200, 3000, false}, data.MachineHour: {50, 3000, false},
	data.CPUSecond: {15, 30, true}, data.MemorySecond: {2, 30, true}, data.StorageSecond: {0.01, 0.1, true},
	data.Requests: {0, 0.5, true}, data.Gateway: {0.5, 5, true}, data.Data: {1e4, 2e4, true},
}

// Tiers begin at the first unit, rise, and are cheaper the more is used.
func TestTiers(t *testing.T) {
	for _, p := range data.Prices() {
		tiers := data.FindTiers(p.Target, p.Meter, p.Of, p.When...)
		if len(tiers) == 0 || tiers[0].Above != 0 {
			t.Fatalf("%s %s %v: want tiers from 0 on, got %+v", p.Target, p.Meter, p.When, tiers)
		}
		for i := 1; i < len(tiers); i++ {
			if a, b := tiers[i-1], tiers[i]; a.Above >= b.Above || a.Per <= b.Per {
				t.Errorf("%s %s %v: want more units to cost less each, got %+v before %+v", p.Target, p.Meter, p.When, a, b)
			}
		}
	}
	if n := len(data.FindTiers("awslambda", data.MemorySecond, "", "arch=arm64", "api=http")); n != 3 {
		t.Errorf("want three tiers on Arm, got %d", n)
	}
	if data.FindTiers("edge", data.CPUSecond, "") != nil {
		t.Error("want nothing for a device")
	}
}

func TestAllowances(t *testing.T) {
	for _, a := range data.Allowances() {
		check(t, a.Target+" "+string(a.Meter), a.Source)
		if len(data.FindTiers(a.Target, a.Meter, "", a.When...)) == 0 {
			t.Errorf("%s %s %v: free, but without a price", a.Target, a.Meter, a.When)
		}
	}
	for _, c := range []struct {
		target  string
		meter   data.Meter
		choices []string
		want    int64
	}{
		{"awslambda", data.MemorySecond, []string{"arch=arm64"}, 400_000},
		{"awslambda", data.MemorySecond, []string{"arch=arm64", "provisioned"}, 0},
		{"cloudrun", data.CPUSecond, []string{"billing=instance"}, 240_000},
		{"azurefunctions", data.Requests, []string{"plan=flex"}, 250_000},
		{"azurefunctions", data.Requests, []string{"plan=premium"}, 0},
		{"sagemaker", data.Requests, nil, 0},
	} {
		if a, ok := data.FindAllowance(c.target, c.meter, c.choices...); a.Units != c.want || ok != (c.want > 0) {
			t.Errorf("%s %s %v: want %d free, got %d, %v", c.target, c.meter, c.choices, c.want, a.Units, ok)
		}
	}
}

// Every machine that has a price has a shape.
func TestShapes(t *testing.T) {
	for _, p := range data.Prices() {
		if p.Meter != data.MachineHour {
			continue
		}
		s, ok := data.FindShape(strings.ToUpper(p.Of))
		if !ok || s.CPUs < 1 {
			t.Errorf("%s: want processors, got %+v", p.Of, s)
		}
		check(t, p.Of, s.Source)
	}
}

// A price is a day old a day later.
func TestAge(t *testing.T) {
	s := data.Source{Day: "2026-01-31"}
	for _, c := range []struct {
		now  string
		want int
	}{{"2026-01-31T12:00:00Z", 0}, {"2026-05-01T00:00:00Z", 90}, {"2026-05-02T00:00:00Z", 91}} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Age(now); got != c.want {
			t.Errorf("%s: want %d days, got %d", c.now, c.want, got)
		}
	}
	if got := (data.Source{}).Age(time.Now()); got != -1 {
		t.Errorf("want -1 without a day, got %d", got)
	}
}

func TestFindPrice(t *testing.T) {
	for _, c := range []struct {
		target  string
		meter   data.Meter
		of      string
		choices []string
		want    float64 // for 730 hours
	}{
		{"awslambda", data.MemoryHour, "", nil, 10.95},
		{"awslambda", data.MemoryHour, "", []string{"arch=arm64", "api=http"}, 8.76},
		{"cloudrun", data.CPUHour, "", nil, 6.57},
		{"cloudrun", data.CPUHour, "", []string{"billing=instance"}, 47.304},
		{"cloudrun", data.GPUHour, "nvidia-l4", []string{"billing=instance", "redundant"}, 764.4852},
		{"azurefunctions", data.MemoryHour, "", nil, 0},
		{"azurefunctions", data.MemoryHour, "", []string{"plan=flex"}, 10.512},
		{"sagemaker", data.MachineHour, "ml.c5.large", nil, 74.46},
		{"azureml", data.MachineHour, "standard_ds3_v2", nil, 167.17},
		{"knative", data.CPUHour, "", nil, 0},
		{"cloudrun", data.GPUHour, "nvidia-rtx-pro-6000", nil, 0},
	} {
		p, ok := data.FindPrice(c.target, c.meter, c.of, c.choices...)
		if got := p.USD() * data.HoursPerMonth; math.Abs(got-c.want) > 0.005 || ok != (c.want > 0) {
			t.Errorf("%s %s %s %v: want %v, got %v, %v", c.target, c.meter, c.of, c.choices, c.want, got, ok)
		}
	}
}
