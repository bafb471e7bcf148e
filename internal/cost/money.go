package cost

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"godwit.dev/infra/data"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/lazy"
)

// Money is an exact amount of dollars, zero or more. The zero value is none.
type Money struct{ usd *big.Rat }

// dollars is n units of price each.
func dollars(n *big.Rat, each data.Picodollars) Money {
	price := big.NewRat(int64(each), int64(data.Dollar))
	return Money{price.Mul(price, n)}
}

// Cents is that many of them.
func Cents(n int64) Money { return Money{big.NewRat(n, 100)} }

func (m Money) rat() *big.Rat {
	if m.usd == nil {
		return new(big.Rat)
	}
	return m.usd
}

// Plus is the sum.
func (m Money) Plus(n Money) Money { return Money{new(big.Rat).Add(m.rat(), n.rat())} }

// Cmp is -1, 0 or 1, as m is less than, equal to or more than n.
func (m Money) Cmp(n Money) int { return m.rat().Cmp(n.rat()) }

// Cents is m rounded to the nearest cent, a half up.
func (m Money) Cents() *big.Int {
	x := new(big.Rat).Mul(m.rat(), big.NewRat(100, 1))
	x.Add(x, big.NewRat(1, 2))
	q := new(big.Int)
	return q.Div(x.Num(), x.Denom()) // Euclid's is the floor, as Denom is above 0
}

// Float is m in dollars, for axes.
func (m Money) Float() float64 { f, _ := m.rat().Float64(); return f }

// String is "$1,234.50", and "$12,345" from ten thousand on; what is less than a cent
// keeps two digits of its own, as "$0.0023".
func (m Money) String() string {
	if f := m.Float(); f > 0 && f < 0.01 {
		places := 2
		for ; f < 1 && places < 13; places++ {
			f *= 10
		}
		return "$" + m.rat().FloatString(places-1)
	}
	places := 2
	if m.Float() >= 10_000 { // who pays those looks at dollars
		places = 0
	}
	whole, cents, _ := strings.Cut(m.rat().FloatString(places), ".")
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if places == 0 {
		return "$" + whole
	}
	return "$" + whole + "." + cents
}

// MarshalJSON writes dollars as a number with six decimals.
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.rat().FloatString(6)), nil }

var moneyForm = lazy.Regexp(`^(?i)(?:\$|USD ?)?([0-9]{1,12}(?:\.[0-9]{1,6})?)(?: ?USD)?(?:/(month|year))?$`)

// ParseMoney reads "$40/month", "40" or "USD 480/year" as dollars a month. Errors:
// Usage.
func ParseMoney(text string) (Money, error) {
	m := moneyForm().FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Money{}, fault.New(fault.Usage, "cost.ParseMoney", "", "want dollars a month as $40/month, got %q", text)
	}
	usd, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return Money{}, fault.New(fault.Usage, "cost.ParseMoney", "", "want dollars, got %q", text)
	}
	if strings.EqualFold(m[2], "year") {
		usd.Quo(usd, big.NewRat(12, 1))
	}
	return Money{usd}, nil
}

// Requests are how many of a month of data.HoursPerMonth hours.
type Requests int64

// MaxRequests bounds what ParseRequests takes: some hundred million a second.
const MaxRequests Requests = 1e15

// MonthSeconds and MonthMillis are such a month.
const (
	MonthSeconds = data.HoursPerMonth * 3600
	MonthMillis  = MonthSeconds * 1000
)

var requestForm = lazy.Regexp(`^([0-9]{1,15}(?:\.[0-9]{1,9})?)(k|K|M|B|G)? ?/ ?(month|day|hour|minute|min|second|sec|s)$`)

// ParseRequests reads "2M/month", "500k/day" or "20/s". Errors: Usage.
func ParseRequests(text string) (Requests, error) {
	m := requestForm().FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return 0, fault.New(fault.Usage, "cost.ParseRequests", "", "want requests in a time as 2M/month, 500k/day or 20/s, got %q", text)
	}
	n, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, fault.New(fault.Usage, "cost.ParseRequests", "", "want a number, got %q", m[1])
	}
	times := map[string]int64{"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9}[m[2]]
	seconds := map[string]int64{"month": MonthSeconds, "day": 86400, "hour": 3600, "minute": 60, "min": 60, "second": 1, "sec": 1, "s": 1}[m[3]]
	n.Mul(n, big.NewRat(times, 1)).Mul(n, big.NewRat(MonthSeconds, seconds))
	n.Add(n, big.NewRat(1, 2))
	whole := new(big.Int).Div(n.Num(), n.Denom())
	if !whole.IsInt64() || Requests(whole.Int64()) > MaxRequests {
		return 0, fault.New(fault.Usage, "cost.ParseRequests", "", "want at most %v requests, got %q", MaxRequests, text)
	}
	return Requests(whole.Int64()), nil
}

// String is "2M/month", with three digits from ten thousand on.
func (r Requests) String() string {
	for _, unit := range []struct {
		from, of Requests
		name     string
	}{{1e9, 1e9, "B"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}} {
		if r >= unit.from {
			return strconv.FormatFloat(float64(r)/float64(unit.of), 'g', 3, 64) + unit.name + "/month"
		}
	}
	return fmt.Sprintf("%d/month", int64(r))
}

// PerSecond is the mean rate.
func (r Requests) PerSecond() float64 { return float64(r) / MonthSeconds }
