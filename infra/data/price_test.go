package data_test

import (
	"math"
	"slices"
	"testing"

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
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if !slices.Contains(targets, p.Target) || p.Region == "" {
			t.Errorf("%s: want a target and a region, got %+v", id, p)
		}
		month := p.USD * data.HoursPerMonth
		least, most := map[data.Meter]float64{data.CPUHour: 5, data.MemoryHour: 4, data.GPUHour: 200, data.MachineHour: 50}[p.Meter],
			map[data.Meter]float64{data.CPUHour: 150, data.MemoryHour: 15, data.GPUHour: 3000, data.MachineHour: 3000}[p.Meter]
		if month < least || month > most {
			t.Errorf("%s: want %v to %v dollars a month, got %v", id, least, most, month)
		}
		check(t, id, p.Source)
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
		if got := p.USD * data.HoursPerMonth; math.Abs(got-c.want) > 0.005 || ok != (c.want > 0) {
			t.Errorf("%s %s %s %v: want %v, got %v, %v", c.target, c.meter, c.of, c.choices, c.want, got, ok)
		}
	}
}
