package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/adapters/stores/storefake"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// over is the table claims in eu-west-1 on a wire.
func over(t *testing.T, w *storefake.Wire, env map[string]string) *Table {
	t.Helper()
	all := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
	for name, value := range env {
		all[name] = value
	}
	table, err := Open("claims", &Options{Getenv: func(name string) string { return all[name] }, HTTP: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

var says = storefake.Says

func refuses(kind, more string) func() (*http.Response, error) {
	return says(400, `{"__type": "com.amazonaws.dynamodb.v20120810#`+kind+`", "message": "m"`+more+`}`)
}

// asked is a request's target and body.
func asked(t *testing.T, w *storefake.Wire) (all []any) {
	t.Helper()
	for _, a := range w.All() {
		if !strings.HasPrefix(a.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=ID/") || !strings.Contains(a.Header.Get("Authorization"), "/eu-west-1/dynamodb/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target,") ||
			a.Method != "POST" || a.URL != "https://dynamodb.eu-west-1.amazonaws.com/" || a.Header.Get("Content-Type") != "application/x-amz-json-1.0" || a.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s %s by %v", a.Method, a.URL, a.Header)
		}
		var body any
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
			t.Error(err)
		}
		all = append(all, a.Header.Get("X-Amz-Target"), body)
	}
	return all
}

type doc = map[string]any

func s(v string) doc { return doc{"S": v} }
func n(v string) doc { return doc{"N": v} }

var (
	until   = time.UnixMilli(1_700_000_000_123).UTC()
	expires = time.Unix(1_700_000_009, 1).UTC()
)

func begunClaim() *store.Claim {
	return &store.Claim{Key: "k", Status: store.InProgress, Owner: "o", Validation: "v", Until: until, Expires: expires}
}

func claimItem() doc {
	return doc{"id": s("k"), "status": s("INPROGRESS"), "owner": s("o"), "validation": s("v"), "in_progress_expiration": n("1700000000123"), "expiration": n("1700000010")}
}

// What each call asks for, and on what condition.
func TestCallsOnTheWire(t *testing.T) {
	const target = "DynamoDB_20120810."
	put := func(item, names, values doc, condition string) []any {
		return []any{target + "PutItem", doc{"TableName": "claims", "Item": item, "ConditionExpression": condition, "ExpressionAttributeNames": names, "ExpressionAttributeValues": values, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}
	}
	done := claimItem()
	done["status"], done["data"], done["object"] = s("COMPLETED"), doc{"B": "AP8="}, s("claims/k")
	completed := begunClaim()
	completed.Status, completed.Answer, completed.Object = store.Completed, []byte{0, 255}, "claims/k"
	whole := begunClaim()
	whole.Expires = time.Unix(1_700_000_010, 0)
	for name, tt := range map[string]struct {
		do   func(t *Table, ctx context.Context) (*store.Claim, error)
		want []any
	}{
		"a claim": {func(t *Table, ctx context.Context) (*store.Claim, error) {
			return t.Claim(ctx, begunClaim(), time.UnixMilli(1_600_000_000_456))
		}, put(claimItem(), doc{"#k": "id", "#e": "expiration", "#u": "in_progress_expiration", "#s": "status", "#o": "owner"}, doc{":o": s("o"), ":p": s("INPROGRESS"), ":s": n("1600000000"), ":m": n("1600000000456")},
			"attribute_not_exists(#k) OR #e <= :s OR (#s = :p AND (#u <= :m OR #o = :o))")},
		"more time": {func(t *Table, ctx context.Context) (*store.Claim, error) { return t.Update(ctx, whole) }, put(claimItem(), doc{"#s": "status", "#o": "owner"}, doc{":o": s("o"), ":p": s("INPROGRESS")}, "#o = :o AND #s = :p")},
		"an answer": {func(t *Table, ctx context.Context) (*store.Claim, error) { return t.Update(ctx, completed) }, put(done, doc{"#o": "owner"}, doc{":o": s("o")}, "#o = :o")},
		"given up": {func(t *Table, ctx context.Context) (*store.Claim, error) { return nil, t.Release(ctx, "k", "o") },
			[]any{target + "DeleteItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}, "ConditionExpression": "#o = :o AND #s = :p", "ExpressionAttributeNames": doc{"#s": "status", "#o": "owner"}, "ExpressionAttributeValues": doc{":o": s("o"), ":p": s("INPROGRESS")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := storefake.Script(says(200, "{}"))
			if there, err := tt.do(over(t, w, nil), t.Context()); there != nil || err != nil {
				t.Errorf("%+v, %v", there, err)
			}
			if diff := cmp.Diff(tt.want, asked(t, w)); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// What is there already is told, by the refusal or by being asked for.
func TestWhatIsThere(t *testing.T) {
	other := claimItem()
	other["owner"] = s("another")
	text, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	want := begunClaim()
	want.Owner, want.Expires = "another", time.Unix(1_700_000_010, 0).UTC()
	mute, told := refuses("ConditionalCheckFailedException", ""), refuses("ConditionalCheckFailedException", `, "Item": `+string(text))
	item := says(200, `{"Item": `+string(text)+`}`)
	type reply = func() (*http.Response, error)
	for name, tt := range map[string]struct {
		answers []reply
		want    *store.Claim
		code    fault.Code
		asked   int
	}{
		"told":                   {[]reply{told}, want, fault.OK, 1},
		"asked for":              {[]reply{mute, item}, want, fault.OK, 2},
		"gone, and then free":    {[]reply{mute, says(200, "{}"), says(200, "{}")}, nil, fault.OK, 3},
		"gone, and there again":  {[]reply{mute, says(200, "{}"), told}, want, fault.OK, 3},
		"it cannot be asked for": {[]reply{mute, refuses("AccessDeniedException", "")}, nil, fault.Denied, 2},
		"odd":                    {[]reply{refuses("ConditionalCheckFailedException", `, "Item": {"id": {"S": "k"}}`)}, nil, fault.BadConfig, 1},
	} {
		w := storefake.Script(tt.answers...)
		there, err := over(t, w, nil).Claim(t.Context(), begunClaim(), time.Now())
		if diff := cmp.Diff(tt.want, there); diff != "" || fault.CodeOf(err) != tt.code || len(w.All()) != tt.asked {
			t.Errorf("%s: %v after %d requests (-want +got):\n%s", name, err, len(w.All()), diff)
		}
		if tt.asked > 1 {
			got := asked(t, w)[2:4]
			if diff := cmp.Diff([]any{"DynamoDB_20120810.GetItem", doc{"TableName": "claims", "Key": doc{"id": s("k")}, "ConsistentRead": true}}, got); diff != "" {
				t.Errorf("%s: asked for it (-want +got):\n%s", name, diff)
			}
		}
	}
	// An update of what is gone says that nothing is there, and a release of what is another's is none.
	w := storefake.Script(mute, says(200, "{}"))
	if there, err := over(t, w, nil).Update(t.Context(), begunClaim()); err != nil || there == nil || there.Owner != "" {
		t.Errorf("an update of nothing: %+v, %v", there, err)
	}
	for name, answer := range map[string]reply{"another's": told, "nobody's": mute} {
		if err := over(t, storefake.Script(answer), nil).Release(t.Context(), "k", "o"); err != nil {
			t.Errorf("%s is released: %v", name, err)
		}
	}
	if err := over(t, storefake.Script(refuses("AccessDeniedException", "")), nil).Release(t.Context(), "k", "o"); fault.CodeOf(err) != fault.Denied {
		t.Errorf("denied: %v", err)
	}
	synctest.Test(t, func(t *testing.T) { // it comes and goes for ever
		ctx, cancel := context.WithCancel(t.Context())
		w := &storefake.Wire{}
		w.Answer = func(_ *http.Request, _ string, n int) (*http.Response, error) {
			if n == 9 {
				defer cancel()
			}
			return []reply{mute, says(200, "{}")}[n%2]()
		}
		if there, err := over(t, w, nil).Claim(ctx, begunClaim(), time.Now()); fault.CodeOf(err) != fault.Canceled || there != nil {
			t.Errorf("%+v, %v", there, err)
		}
	})
}

// Each refusal has its code and says what to do; what may pass is asked again,
// after up to 25 ms at first, twice that each time, and up to a second.
func TestRefusalsOnTheWire(t *testing.T) {
	key := func(answer func() (*http.Response, error)) func() (*http.Response, error) { return answer }
	for name, tt := range map[string]struct {
		answer func() (*http.Response, error)
		want   fault.Code // of one attempt
		again  bool
		hint   string
	}{
		"throughput":      {key(refuses("ProvisionedThroughputExceededException", "")), fault.RateLimited, true, ""},
		"throttling":      {refuses("ThrottlingException", ""), fault.RateLimited, true, ""},
		"limit":           {refuses("RequestLimitExceeded", ""), fault.RateLimited, true, ""},
		"limit, so":       {refuses("RequestLimitExceededException", ""), fault.RateLimited, true, ""},
		"conflict":        {refuses("TransactionConflictException", ""), fault.RateLimited, true, ""},
		"progress":        {refuses("TransactionInProgressException", ""), fault.RateLimited, true, ""},
		"limits":          {refuses("LimitExceededException", ""), fault.RateLimited, true, ""},
		"no table":        {refuses("ResourceNotFoundException", ""), fault.NotFound, false, `Make a table with a partition key "id" of type string.`},
		"denied":          {refuses("AccessDeniedException", ""), fault.Denied, false, "The role needs dynamodb:PutItem, dynamodb:DeleteItem and dynamodb:GetItem."},
		"unknown":         {refuses("UnrecognizedClientException", ""), fault.Unauthenticated, false, ""},
		"signature":       {refuses("InvalidSignatureException", ""), fault.Unauthenticated, false, ""},
		"no token":        {refuses("MissingAuthenticationTokenException", ""), fault.Unauthenticated, false, ""},
		"no token, so":    {refuses("MissingAuthenticationToken", ""), fault.Unauthenticated, false, ""},
		"incomplete":      {refuses("IncompleteSignatureException", ""), fault.Unauthenticated, false, ""},
		"expired":         {refuses("ExpiredTokenException", ""), fault.Unauthenticated, false, ""},
		"expired, so":     {refuses("ExpiredToken", ""), fault.Unauthenticated, false, ""},
		"too large":       {says(400, `{"__type": "ValidationException", "message": "Item size has exceeded"}`), fault.TooLarge, false, ""},
		"another key":     {says(400, `{"__type": "ValidationException", "Message": "The provided key"}`), fault.BadConfig, false, `The table needs a partition key "id" of type string, and no sort key.`},
		"new":             {refuses("SomethingNew", ""), fault.Unavailable, false, ""},
		"too many":        {says(429, ""), fault.Unavailable, true, ""},
		"down":            {says(500, ""), fault.Unavailable, true, ""},
		"down, no JSON":   {says(503, "<html>"), fault.Unavailable, true, ""},
		"nearly down":     {says(499, ""), fault.Unavailable, false, ""},
		"elsewhere":       {says(302, ""), fault.Unavailable, false, ""},
		"away":            {storefake.Fails(errors.New("reset")), fault.Unavailable, true, ""},
		"no JSON":         {says(200, "x"), fault.Unavailable, true, ""},
		"a bad sum":       {says(200, "{}", "X-Amz-Crc32", "1"), fault.Unavailable, true, ""},
		"no sum":          {says(200, "{}", "X-Amz-Crc32", "x"), fault.Unavailable, true, ""},
		"too long":        {says(200, strings.Repeat(" ", 1<<20)+"{}"), fault.Unavailable, false, ""},
		"nearly too long": {says(200, strings.Repeat(" ", 1<<20-2)+"{}"), fault.OK, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := storefake.Script(tt.answer)
				c := over(t, w, nil).client
				_, again, err := c.once(t.Context(), "op", "k", "t", []byte("{}"))
				if fault.CodeOf(err) != tt.want || again != tt.again || fault.HintOf(err) != tt.hint || err != nil && (fault.Of(err).Op != "op" || fault.Of(err).Subject != "k") {
					t.Errorf("%v (%s), again %v; want %v (%s), %v", err, fault.HintOf(err), again, tt.want, tt.hint, tt.again)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				begun := time.Now()
				_, err = c.call(ctx, "GetItem", "k", &request{})
				if tt.again != (time.Since(begun) == time.Minute) || tt.again && (fault.CodeOf(err) != fault.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("ended after %v: %v", time.Since(begun), err)
				}
				if n := len(w.All()) - 1; tt.again && (n < 60 || n > 1000) || !tt.again && n != 1 { // half a second apart, in the long run
					t.Errorf("asked %d times in a minute", n)
				}
			})
		})
	}
	sum := crc32.ChecksumIEEE([]byte("{}"))
	if _, err := over(t, storefake.Script(says(200, "{}", "X-Amz-Crc32", strconv.FormatUint(uint64(sum), 10))), nil).Claim(t.Context(), begunClaim(), time.Now()); err != nil {
		t.Errorf("a good sum: %v", err)
	}
	long := says(400, `{"__type": "`+strings.Repeat("x", 300)+`", "message": "`+strings.Repeat("y", 300)+`"}`)
	if _, err := over(t, storefake.Script(long), nil).Claim(t.Context(), begunClaim(), time.Now()); err == nil || strings.Count(err.Error(), "x") != 256 || strings.Count(err.Error(), "y") < 256 || strings.Count(err.Error(), "y") > 260 {
		t.Errorf("long words: %v", err)
	}
}

// The pauses between attempts are drawn up to a bound that doubles.
func TestPausesOnTheWire(t *testing.T) {
	most := make([]time.Duration, 8)
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			w := &storefake.Wire{Answer: func(*http.Request, string, int) (*http.Response, error) {
				if at = append(at, time.Now()); len(at) > len(most) {
					return says(200, "{}")()
				}
				return says(500, "")()
			}}
			if _, err := over(t, w, nil).client.call(t.Context(), "GetItem", "k", &request{}); err != nil {
				t.Error(err)
			}
			for i := range most {
				most[i] = max(most[i], at[i+1].Sub(at[i]))
			}
		})
	}
	for i, got := range most {
		if bound := min(25*time.Millisecond<<i, time.Second); got > bound || got < bound*3/4 { // of fifty draws the longest
			t.Errorf("pause %d is up to %v, want %v", i, got, bound)
		}
	}
}

// Who says nothing is asked again after two seconds, or as it is said, for as
// long as the caller has time.
func TestTimesOnTheWire(t *testing.T) {
	never := func(r *http.Request, _ string, _ int) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for attempt, asks := range map[time.Duration]int{0: 5, 4 * time.Second: 3} {
		synctest.Test(t, func(t *testing.T) {
			w := &storefake.Wire{Answer: never}
			table, err := Open("claims", &Options{Getenv: func(name string) string {
				return map[string]string{"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
			}, HTTP: &http.Client{Transport: w}, Attempt: attempt})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second-time.Millisecond)
			defer cancel()
			begun := time.Now()
			if _, err := table.Claim(ctx, begunClaim(), begun); fault.CodeOf(err) != fault.DeadlineExceeded || time.Since(begun) != 10*time.Second-time.Millisecond || len(w.All()) != asks {
				t.Errorf("%v after %v and %d requests, want %d", err, time.Since(begun), len(w.All()), asks)
			}
		})
	}
	w := storefake.Script(says(200, "{}"))
	for name, tt := range map[string]struct {
		env  map[string]string
		code fault.Code
	}{
		"none": {map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}, fault.Unauthenticated}, "half": {map[string]string{"AWS_SECRET_ACCESS_KEY": ""}, fault.BadConfig},
	} {
		if _, err := over(t, w, tt.env).Claim(t.Context(), begunClaim(), time.Now()); fault.CodeOf(err) != tt.code || len(w.All()) != 0 {
			t.Errorf("%s of credentials: %v after %d requests", name, err, len(w.All()))
		}
	}
}

// Where requests go.
func TestEndpoints(t *testing.T) {
	for name, tt := range map[string]struct {
		env          map[string]string
		want, region string // "" where it is refused
	}{
		"nothing":      {nil, "https://dynamodb.us-east-1.amazonaws.com/", "us-east-1"},
		"a region":     {map[string]string{"AWS_REGION": "eu-west-1"}, "https://dynamodb.eu-west-1.amazonaws.com/", "eu-west-1"},
		"China":        {map[string]string{"AWS_REGION": "cn-north-1"}, "https://dynamodb.cn-north-1.amazonaws.com.cn/", "cn-north-1"},
		"another":      {map[string]string{"AWS_ENDPOINT_URL": "https://h/x"}, "https://h/x", "us-east-1"},
		"its own":      {map[string]string{"AWS_ENDPOINT_URL": "https://h", "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:8000"}, "http://localhost:8000/", "us-east-1"},
		"loopback":     {map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.7/"}, "http://127.0.0.7/", "us-east-1"},
		"loopback, so": {map[string]string{"AWS_ENDPOINT_URL": "http://[::ffff:127.0.0.1]/"}, "http://[::ffff:127.0.0.1]/", "us-east-1"},
		"a long one":   {map[string]string{"AWS_REGION": strings.Repeat("a", 63)}, "https://dynamodb." + strings.Repeat("a", 63) + ".amazonaws.com/", strings.Repeat("a", 63)},
		"with digits":  {map[string]string{"AWS_REGION": "a-09z"}, "https://dynamodb.a-09z.amazonaws.com/", "a-09z"},
		"too long":     {map[string]string{"AWS_REGION": strings.Repeat("a", 64)}, "", ""},
		"no region":    {map[string]string{"AWS_REGION": "EU"}, "", ""},
		"without TLS":  {map[string]string{"AWS_ENDPOINT_URL": "http://10.0.0.1/"}, "", ""},
		"no host":      {map[string]string{"AWS_ENDPOINT_URL": "https:///"}, "", ""},
		"a user":       {map[string]string{"AWS_ENDPOINT_URL": "https://u@h/"}, "", ""},
		"a query":      {map[string]string{"AWS_ENDPOINT_URL": "https://h/?a"}, "", ""},
		"odd":          {map[string]string{"AWS_ENDPOINT_URL": "ftp://localhost/"}, "", ""},
		"no URL":       {map[string]string{"AWS_ENDPOINT_URL": "http://[::1"}, "", ""},
	} {
		table, err := Open("claims", &Options{Getenv: func(name string) string { return tt.env[name] }})
		if tt.want == "" {
			if fault.CodeOf(err) != fault.BadConfig {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || table.client.endpoint.String() != tt.want || table.client.region != tt.region || table.client.attempt != 2*time.Second {
			t.Errorf("%s: %v, %v", name, table, err)
			continue
		}
		if err := table.client.http.CheckRedirect(nil, nil); err != http.ErrUseLastResponse || table.Close() != nil {
			t.Errorf("%s: follows redirects", name)
		}
	}
	tr := (func() *http.Transport { table, _ := Open("claims", nil); return table.client.own })()
	if diff := cmp.Diff([]any{64, time.Minute, true, int64(64 << 10), 5 * time.Second}, []any{tr.MaxIdleConnsPerHost, tr.IdleConnTimeout, tr.DisableCompression, tr.MaxResponseHeaderBytes, tr.TLSHandshakeTimeout}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if table := over(t, nil, nil); table.client.own != nil || table.Close() != nil {
		t.Error("somebody else's client is taken for ours")
	}
	for name, want := range map[string]bool{"abc": true, "ab": false, "a.b_c-09Z": true, "a b": false, "a/b": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false, "@@@": false, "[[[": false, "```": false, "{{{": false, ":::": false, "///": false} {
		if got := validName(name); got != want {
			t.Errorf("%q is a name: %v", name, got)
		}
	}
}

// What a table has is a claim, or it is told what of it does not fit.
func TestItems(t *testing.T) {
	for _, name := range []string{"owner", "validation", "status", "in_progress_expiration", "expiration"} {
		for _, broken := range []string{"gone", "another type", "odd"} {
			var i item
			text, _ := json.Marshal(claimItem())
			if err := json.Unmarshal(text, &i); err != nil {
				t.Fatal(err)
			}
			odd := "x"
			switch broken {
			case "gone":
				delete(i, name)
			case "another type":
				i[name] = attribute{B: &[]byte{}}
			case "odd":
				if i[name].S != nil {
					if odd = ""; name == "validation" {
						continue
					}
					i[name] = attribute{S: &odd}
				} else {
					i[name] = attribute{N: &odd}
				}
			}
			if c, err := decode("k", i); fault.CodeOf(err) != fault.BadConfig || !strings.Contains(err.Error(), `"`+name+`"`) || fault.HintOf(err) != "Use a table for claims alone." || fault.Of(err).Subject != "k" {
				t.Errorf("%s of %s: %+v, %v", broken, name, c, err)
			}
		}
	}
}
