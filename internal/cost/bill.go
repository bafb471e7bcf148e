package cost

import (
	"math/big"
	"slices"

	"godwit.dev/infra/data"
	"godwit.dev/infra/spec"
)

// Usage is what a Config uses in a month. Times are in milliseconds, rounded as the
// platform rounds them.
type Usage struct {
	Requests Requests
	// Units are requests as the API in front counts them: a large body is more
	// than one. 0 where there is none.
	Units Requests
	// Serving is billed time: of requests, PerRequest, or of instances that have
	// one, PerActive. Ready is the part of it on instances that always stand.
	Serving, Ready int64
	// Starting is billed time of starts.
	Starting int64
	// Waiting is of instances that always stand and do nothing, or where standing
	// is billed beside serving, of all the time.
	Waiting int64
	// Instances is of instances while they are there: PerInstance and Standing.
	Instances int64
	// Bytes go in and out of an endpoint.
	Bytes int64
}

// Line is one line of a Bill.
type Line struct {
	What     string  `json:"what"`
	Quantity float64 `json:"quantity"` // as billed, without what is free
	Unit     string  `json:"unit"`
	// Each is dollars for one unit, in the first tier.
	Each   float64 `json:"usd_each"`
	Amount Money   `json:"usd"`
	Source string  `json:"source"`
}

// Bill is what a month costs.
type Bill struct {
	Lines []Line `json:"lines"`
	Total Money  `json:"usd"`
	// Unknown says which price is not known here; "" where all are. Total is then
	// without it, and no one's bill.
	Unknown string `json:"unknown,omitempty"`
	Region  string `json:"region,omitempty"`

	sources []data.Source
}

// charge puts n units of a meter on the bill.
func (b *Bill) charge(c *Config, free bool, what, unit string, meter data.Meter, of string, n *big.Rat, choices ...string) {
	if n.Sign() == 0 {
		return
	}
	choices = append(slices.Clone(c.choices), choices...)
	tiers := data.FindTiers(c.Target, meter, of, choices...)
	if tiers == nil {
		if of == "" {
			of = what
		}
		b.Unknown = "the price of " + of + " is not known here"
		return
	}
	rest := new(big.Rat).Set(n)
	if a, ok := data.FindAllowance(c.Target, meter, choices...); free && ok {
		if rest.Sub(rest, big.NewRat(a.Units, 1)); rest.Sign() < 0 {
			rest.SetInt64(0)
		}
	}
	line := Line{What: what, Unit: unit, Each: tiers[0].USD(), Source: tiers[0].Source.String()}
	line.Quantity, _ = rest.Float64()
	for i := range tiers {
		if !slices.Contains(b.sources, tiers[i].Source) {
			b.sources = append(b.sources, tiers[i].Source)
		}
		part := new(big.Rat).Sub(rest, big.NewRat(tiers[i].Above, 1))
		if i+1 < len(tiers) {
			if width := big.NewRat(tiers[i+1].Above-tiers[i].Above, 1); part.Cmp(width) > 0 {
				part = width
			}
		}
		if part.Sign() > 0 {
			line.Amount = line.Amount.Plus(dollars(part, tiers[i].Per))
		}
	}
	b.Region = tiers[0].Region
	if tiers[0].Per > 0 {
		b.Lines = append(b.Lines, line)
		b.Total = b.Total.Plus(line.Amount)
	}
}

// Bill is what u costs on c. With free, what every account has free is taken off.
func (c *Config) Bill(u *Usage, free bool) *Bill {
	b := &Bill{Lines: []Line{}}
	charge := func(what, unit string, meter data.Meter, of string, n *big.Rat, choices ...string) {
		b.charge(c, free, what, unit, meter, of, n, choices...)
	}
	memory := big.NewRat(int64(c.memory), int64(spec.GiB))
	cpus := whole(c.cpus)
	requests := big.NewRat(int64(u.Requests), 1)
	switch {
	case c.Kind == Device:
	case c.Target == "awslambda":
		charge("requests", "requests", data.Requests, "", requests)
		charge("compute", "GB-s", data.MemorySecond, "", times(seconds(u.Serving-u.Ready+u.Starting), memory))
		charge("compute, provisioned", "GB-s", data.MemorySecond, "", times(seconds(u.Ready), memory), "provisioned")
		charge("provisioned concurrency", "GB-h", data.MemoryHour, "", times(hours(u.Waiting), memory))
		if more := c.storage - 512*spec.MiB; more > 0 {
			charge("ephemeral storage", "GB-s", data.StorageSecond, "", times(seconds(u.Serving+u.Starting), big.NewRat(int64(more), int64(spec.GiB))))
		}
		if c.gateway {
			charge("API", "requests", data.Gateway, "", big.NewRat(int64(u.Units), 1))
		}
	case c.Kind == PerRequest: // SageMaker's serverless endpoints
		charge("compute", "GB-s", data.MemorySecond, "", times(seconds(u.Serving), memory))
	case c.Kind == PerActive && c.Target == "cloudrun":
		busy := seconds(u.Serving + u.Starting)
		charge("requests", "requests", data.Requests, "", requests)
		charge("CPU", "vCPU-s", data.CPUSecond, "", times(busy, cpus))
		charge("memory", "GiB-s", data.MemorySecond, "", times(busy, memory))
		charge("CPU, idle", "vCPU-h", data.CPUHour, "", times(hours(u.Waiting), cpus))
		charge("memory, idle", "GiB-h", data.MemoryHour, "", times(hours(u.Waiting), memory))
	case c.Kind == PerActive: // Azure's Flex Consumption
		ready := new(big.Rat)
		if c.min > 0 { // nothing is free of instances that are always ready
			ready.Set(requests)
		}
		charge("executions", "requests", data.Requests, "", new(big.Rat).Sub(requests, ready))
		charge("executions, always ready", "requests", data.Requests, "", ready, "ready")
		charge("execution time", "GB-s", data.MemorySecond, "", times(seconds(u.Serving-u.Ready), memory))
		charge("execution time, always ready", "GB-s", data.MemorySecond, "", times(seconds(u.Ready), memory), "ready")
		charge("always ready", "GB-h", data.MemoryHour, "", times(hours(u.Waiting), memory))
	case c.Kind == PerInstance:
		charge("requests", "requests", data.Requests, "", requests)
		charge("CPU", "vCPU-s", data.CPUSecond, "", times(seconds(u.Instances), cpus))
		charge("memory", "GiB-s", data.MemorySecond, "", times(seconds(u.Instances), memory))
		charge("CPU, idle", "vCPU-h", data.CPUHour, "", times(hours(u.Waiting), cpus))
		charge("memory, idle", "GiB-h", data.MemoryHour, "", times(hours(u.Waiting), memory))
	default:
		if c.machine != "" {
			charge(c.machine, "h", data.MachineHour, c.machine, hours(u.Instances))
		}
		for _, meter := range []data.Meter{data.CPUHour, data.MemoryHour} {
			if n := c.machines[meter]; n > 0 {
				charge(map[data.Meter]string{data.CPUHour: "CPU", data.MemoryHour: "memory"}[meter],
					map[data.Meter]string{data.CPUHour: "vCPU-h", data.MemoryHour: "GiB-h"}[meter], meter, "", times(hours(u.Instances), whole(n)))
			}
		}
	}
	if c.gpus > 0 {
		charge(c.gpu, "h", data.GPUHour, c.gpu, times(hours(u.Instances+u.Waiting), big.NewRat(int64(c.gpus), 1)))
	}
	if c.Target == "sagemaker" {
		charge("data", "GB", data.Data, "", big.NewRat(u.Bytes, int64(spec.GiB)))
	}
	return b
}

// Stale are the sources of b that were read more than data.StaleDays days before
// what Age counts from.
func (b *Bill) stale(age func(data.Source) int) (all []data.Source) {
	for _, s := range b.sources {
		if age(s) > data.StaleDays {
			all = append(all, s)
		}
	}
	return all
}

func seconds(millis int64) *big.Rat { return big.NewRat(millis, 1000) }
func hours(millis int64) *big.Rat   { return big.NewRat(millis, 3_600_000) }

func times(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

// whole is a number of thousandths as it is written.
func whole(n float64) *big.Rat { return big.NewRat(int64(n*1000+0.5), 1000) }
