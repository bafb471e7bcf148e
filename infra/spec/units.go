package spec

import (
	"math/big"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// Bytes is a number of bytes. godwit.yaml writes it with its unit, always:
// B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
type Bytes int64

// The units of Bytes.
const (
	KB Bytes = 1000
	MB       = 1000 * KB
	GB       = 1000 * MB
	TB       = 1000 * GB

	KiB Bytes = 1 << 10
	MiB       = KiB << 10
	GiB       = MiB << 10
	TiB       = GiB << 10
)

// unit is one suffix and what it multiplies with.
type unit struct {
	suffix string
	times  int64
}

// byteUnits are in the order in which String prefers them among equally short texts.
func byteUnits() []unit {
	return []unit{
		{"TiB", int64(TiB)}, {"GiB", int64(GiB)}, {"MiB", int64(MiB)}, {"KiB", int64(KiB)},
		{"TB", int64(TB)}, {"GB", int64(GB)}, {"MB", int64(MB)}, {"kB", int64(KB)}, {"B", 1},
	}
}

// ParseBytes reads a size such as 1769MiB, 24MB or 1.5GiB. The unit is
// required and the result must be a whole number of bytes. Errors: BadConfig.
func ParseBytes(s string) (Bytes, error) {
	number, suffix := splitUnit(s)
	for _, u := range append(byteUnits(), unit{"KB", int64(KB)}) {
		if u.suffix != suffix {
			continue
		}
		n, ok := times(number, u.times)
		if !ok {
			return 0, fault.New(fault.BadConfig, "spec.ParseBytes", "", "want a whole number of bytes below 2^63, got %q", s)
		}
		return Bytes(n), nil
	}
	err := fault.New(fault.BadConfig, "spec.ParseBytes", "", "want a size with a unit such as 512MiB or 24MB, got %q", s)
	switch base := strings.TrimSuffix(suffix, "i"); {
	case number == "":
	case suffix == "":
		err = err.WithHint("Say the unit: %sMiB is %s times 1024 times 1024 bytes.", number, number)
	case len(base) == 1 && strings.Contains("KkMGT", base):
		err = err.WithHint("Write %s%siB for powers of 1024, or %sB for powers of 1000.", number, strings.ToUpper(base), number+base)
	default:
		err = err.WithHint("Units are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB.")
	}
	return 0, err
}

// String is the shortest exact text that ParseBytes reads back.
func (b Bytes) String() string {
	best := ""
	for _, u := range byteUnits() {
		if int64(b)%u.times != 0 {
			continue
		}
		digits := strconv.FormatInt(int64(b)/u.times, 10)
		if best == "" || len(digits) < len(strings.TrimRight(best, "TGMKkiB")) {
			best = digits + u.suffix
		}
	}
	if b == 0 {
		return "0B"
	}
	return best
}

// Duration is a length of time. godwit.yaml writes it with its units, always:
// ns, us, ms, s, m, h or d (24 hours), the larger first: 300ms, 1.5s, 1h30m, 30d.
type Duration time.Duration

// The longer units of Duration; the shorter ones are package time's.
const (
	second = Duration(time.Second)
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
	day    = 24 * hour
)

func durationUnits() []unit {
	return []unit{
		{"d", int64(day)}, {"h", int64(hour)}, {"m", int64(minute)}, {"s", int64(second)},
		{"ms", int64(time.Millisecond)}, {"us", int64(time.Microsecond)}, {"ns", 1},
	}
}

// ParseDuration reads a length of time such as 300ms, 1.5s or 1h30m. Units are
// required, go from large to small, and the result must be a whole number of
// nanoseconds; there are no negative ones. Errors: BadConfig.
func ParseDuration(s string) (Duration, error) {
	bad := func() (Duration, error) {
		err := fault.New(fault.BadConfig, "spec.ParseDuration", "", "want a duration with a unit such as 300ms, 30s or 1h30m, got %q", s)
		if _, ok := times(s, 1); ok {
			err = err.WithHint("Say the unit: %ss is %s seconds.", s, s)
		} else {
			err = err.WithHint("Units are ns, us, ms, s, m, h and d, the larger first.")
		}
		return 0, err
	}
	if s == "" || len(s) > maxNumber {
		return bad()
	}
	var sum int64
	units := durationUnits()
	for rest := s; rest != ""; {
		var number, suffix string
		number, rest = cut(rest, isDecimal)
		suffix, rest = cut(rest, func(c byte) bool { return !isDecimal(c) })
		for len(units) > 0 && units[0].suffix != suffix {
			units = units[1:]
		}
		if len(units) == 0 {
			return bad()
		}
		n, ok := times(number, units[0].times)
		if !ok || sum > sum+n {
			return bad()
		}
		sum += n
		units = units[1:]
	}
	return Duration(sum), nil
}

// String is exact, and what ParseDuration reads back.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := int64(d)
	for _, u := range durationUnits() {
		switch {
		case rest < u.times:
		case rest%u.times == 0 || u.times > int64(second):
			b.WriteString(strconv.FormatInt(rest/u.times, 10) + u.suffix)
			rest %= u.times
		case u.times == int64(second):
			b.WriteString(decimals(rest, u.times, 9) + u.suffix)
			rest = 0
		}
	}
	return b.String()
}

// CPU is a number of processors in thousandths. godwit.yaml writes it as a
// number (4, 0.5) or in Kubernetes' thousandths (500m).
type CPU int64

// ParseCPU reads 4, 0.5 or 500m. Errors: BadConfig.
func ParseCPU(s string) (CPU, error) {
	number, suffix := splitUnit(s)
	scale := int64(1000)
	if suffix == "m" {
		scale, suffix = 1, ""
	}
	n, ok := times(number, scale)
	if !ok || suffix != "" {
		return 0, fault.New(fault.BadConfig, "spec.ParseCPU", "", "want a number of CPUs such as 4, 0.5 or 500m, got %q", s).
			WithHint("Thousandths are the smallest share of a CPU.")
	}
	return CPU(n), nil
}

// String is the number in decimals: 4, 0.5.
func (c CPU) String() string { return decimals(int64(c), 1000, 3) }

// Percent is a whole number of hundredths, written with its sign: 70%.
type Percent int

// ParsePercent reads 70%. Errors: BadConfig.
func ParsePercent(s string) (Percent, error) {
	number, suffix := splitUnit(s)
	n, ok := times(number, 1)
	if !ok || suffix != "%" || n > 1_000_000 {
		err := fault.New(fault.BadConfig, "spec.ParsePercent", "", "want a whole percentage such as 70%%, got %q", s)
		if ok && suffix == "" {
			err = err.WithHint("Write %s%%.", number)
		}
		return 0, err
	}
	return Percent(n), nil
}

func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// Rate is a number of requests in a time, kept as requests per hour, which is
// exact for whole ones per second, minute and hour. godwit.yaml writes it with
// its time, always: 100/s, 30/m, 5/h.
type Rate int64

func rateUnits() []unit { return []unit{{"/s", 3600}, {"/m", 60}, {"/h", 1}} }

// ParseRate reads 100/s, 0.5/s, 30/m or 5/h. The result must be a whole number
// of requests per hour. Errors: BadConfig.
func ParseRate(s string) (Rate, error) {
	number, suffix := splitUnit(s)
	for _, u := range rateUnits() {
		if n, ok := times(number, u.times); ok && u.suffix == suffix {
			return Rate(n), nil
		}
	}
	err := fault.New(fault.BadConfig, "spec.ParseRate", "", "want requests in a time such as 100/s, 30/m or 5/h, got %q", s)
	if _, ok := times(number, 1); ok && suffix == "" {
		return 0, err.WithHint("Say the time: %s/s is %s requests in a second.", number, number)
	}
	return 0, err.WithHint("Times are s, m and h; one request in an hour is the finest step.")
}

// PerSecond is the rate in requests per second.
func (r Rate) PerSecond() float64 { return float64(r) / 3600 }

// String is exact, and what ParseRate reads back.
func (r Rate) String() string {
	for _, u := range rateUnits() {
		if int64(r)%u.times == 0 {
			return strconv.FormatInt(int64(r)/u.times, 10) + u.suffix
		}
	}
	return "" // every whole number is one of the last unit
}

// decimals is n/scale in decimals, exactly; scale is ten to the power of places.
func decimals(n, scale int64, places int) string {
	whole, part := strconv.FormatInt(n/scale, 10), strconv.FormatInt(n%scale, 10)
	part = strings.TrimRight(strings.Repeat("0", places-len(part))+part, "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}

// maxNumber is far more text than any number in a spec needs; longer ones would only cost time.
const maxNumber = 40

func isDecimal(c byte) bool { return c >= '0' && c <= '9' || c == '.' }

func cut(s string, in func(byte) bool) (head, tail string) {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// splitUnit parts 1.5GiB into 1.5 and GiB; number is "" where s does not start with one.
func splitUnit(s string) (number, suffix string) { return cut(s, isDecimal) }

// times is number × scale, exactly: false where number is not a plain decimal
// or the product is not a whole int64.
func times(number string, scale int64) (int64, bool) {
	whole, part, point := strings.Cut(number, ".")
	if whole == "" || point && part == "" || strings.Contains(part, ".") || len(number) > maxNumber {
		return 0, false
	}
	if rest := strings.Trim(number, "0123456789."); rest != "" {
		return 0, false // big.Rat also reads exponents and fractions
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(scale))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}
