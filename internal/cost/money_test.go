package cost_test

import (
	"strings"
	"testing"

	"godwit.dev/internal/cost"
	"godwit.dev/runtime/fault"
)

func TestParseRequests(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  cost.Requests
		shown string
	}{
		{"2M/month", 2_000_000, "2M/month"},
		{"0/month", 0, "0/month"},
		{"1.5k/day", 45_625, "45.6k/month"}, // × 730/24
		{"20/s", 52_560_000, "52.6M/month"},
		{"1/hour", 730, "730/month"},
		{"0.5/min", 21_900, "21.9k/month"},
		{" 3B / month ", 3_000_000_000, "3B/month"},
		{"9999/month", 9999, "9999/month"},
		{"0.0000001/month", 0, "0/month"},
		{"100000G/month", 100_000_000_000_000, "1e+05B/month"},
	} {
		got, err := cost.ParseRequests(tt.text)
		if err != nil || got != tt.want || got.String() != tt.shown {
			t.Errorf("%q: got %d (%v), %v, want %d (%s)", tt.text, got, got, err, tt.want, tt.shown)
		}
	}
	for _, text := range []string{"", "2M", "M/month", "-1/month", "1e6/month", "2M/fortnight", "2 M/month/day", "1,000/month", "999999999999999G/s", "NaN/s", "٣/month"} {
		if got, err := cost.ParseRequests(text); fault.CodeOf(err) != fault.Usage || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
}

func TestParseMoney(t *testing.T) {
	for text, want := range map[string]string{
		"$40/month": "$40.00", "40": "$40.00", "USD 480/year": "$40.00", "480 usd/YEAR": "$40.00", "0.005": "$0.0050", "$1234.5": "$1,234.50", "$0": "$0.00", "$999999.99": "$1,000,000",
		"0.000001": "$0.0000010",
	} {
		got, err := cost.ParseMoney(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "$", "-1", "40/day", "€40", "1e3", "1,000", "$1.0000001", "40 dollars"} {
		if got, err := cost.ParseMoney(text); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func TestCents(t *testing.T) {
	for text, want := range map[string]int64{"0.005": 1, "0.004999": 0, "1.995": 200, "0.125": 13, "12.344": 1234} {
		m, err := cost.ParseMoney(text)
		if err != nil || m.Cents().Int64() != want {
			t.Errorf("%s: got %v cents, want %d", text, m.Cents(), want)
		}
	}
	var none cost.Money
	if none.Cmp(cost.Cents(0)) != 0 || none.Plus(cost.Cents(7)).Cmp(cost.Cents(7)) != 0 || none.String() != "$0.00" {
		t.Errorf("want the zero value to be nothing, got %v", none)
	}
}

// What is read is in bounds, and shown in a form that is read again where it is not
// rounded.
func FuzzParseRequests(f *testing.F) {
	for _, text := range []string{"2M/month", "500k/day", "20/s", "0/hour", "999999999999999.999999999G/s", "1/ month", "M", "\x00/s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := cost.ParseRequests(text)
		if err != nil {
			if fault.CodeOf(err) != fault.Usage {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if r < 0 || r > cost.MaxRequests {
			t.Errorf("%q: got %d", text, r)
		}
		if r < 10_000 {
			if again, err := cost.ParseRequests(r.String()); err != nil || again != r {
				t.Errorf("%q: %d is shown as %v, read as %d, %v", text, r, r, again, err)
			}
		}
	})
}

func FuzzParseMoney(f *testing.F) {
	for _, text := range []string{"$40/month", "40", "USD 480/year", "0.000001", "$999999999999.999999", "$$1", "1/", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := cost.ParseMoney(text)
		if err != nil {
			if fault.CodeOf(err) != fault.Usage {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if m.Cents().Sign() < 0 || m.Float() < 0 || m.Float() > 1e12 || !strings.HasPrefix(m.String(), "$") {
			t.Errorf("%q: got %v", text, m)
		}
		if b, err := m.MarshalJSON(); err != nil || len(b) < 8 {
			t.Errorf("%q: %s, %v", text, b, err)
		}
	})
}
