package dynamodb

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"godwit.dev/adapters/stores/awsauth"
	"godwit.dev/runtime/fault"
	"godwit.dev/runtime/store"
)

// Options of Open; nil means defaults.
type Options struct {
	// Getenv reads AWS_REGION, what awsauth reads, and AWS_ENDPOINT_URL_DYNAMODB or
	// AWS_ENDPOINT_URL, as AWS's own tools do; nil: there are none.
	Getenv func(string) string
	// Keys find the credentials; nil means a chain over Getenv.
	Keys *awsauth.Chain
	// Attempt is the time for one answer; then it is asked again, as it is after
	// what may pass, until the caller's context ends. Default 2 s.
	Attempt time.Duration
	// HTTP makes the requests; nil means a client of its own.
	HTTP *http.Client
}

// Table is one table. It is safe for concurrent use.
type Table struct {
	name   string
	client *client
}

var _ store.Table = (*Table)(nil)

// Open makes a table of its name, and asks nobody before it is used. Errors: BadConfig.
func Open(name string, o *Options) (*Table, error) {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Getenv == nil {
		d.Getenv = func(string) string { return "" }
	}
	if !validName(name) {
		return nil, fault.New(fault.BadConfig, "dynamodb.Open", "", "want a table's name of 3 to 255 letters, digits, '_', '.' and '-', got %q", name[:min(len(name), 256)])
	}
	c, err := newClient(&d)
	if err != nil {
		return nil, err
	}
	return &Table{name: name, client: c}, nil
}

func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-", c) >= 0) {
			return false
		}
	}
	return len(name) >= 3 && len(name) <= 255
}

// newClient finds where requests go.
func newClient(o *Options) (*client, error) {
	c := &client{http: o.HTTP, attempt: cmp.Or(o.Attempt, 2*time.Second), keys: o.Keys}
	if c.keys == nil {
		c.keys = awsauth.NewChain(&awsauth.Options{Getenv: o.Getenv})
	}
	c.region = cmp.Or(c.keys.Region(), "us-east-1")
	for i := range len(c.region) {
		if b := c.region[i]; len(c.region) > 63 || !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-') {
			return nil, fault.New(fault.BadConfig, "dynamodb.Open", "AWS_REGION", "want a region such as eu-west-1, got %q", c.region[:min(len(c.region), 64)])
		}
	}
	c.endpoint = &url.URL{Scheme: "https", Host: "dynamodb." + c.region + ".amazonaws.com", Path: "/"}
	if strings.HasPrefix(c.region, "cn-") {
		c.endpoint.Host += ".cn"
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"} {
		text := o.Getenv(name)
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		// Credentials do not travel without TLS, but to this machine.
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			return nil, fault.New(fault.BadConfig, "dynamodb.Open", name, "want an https:// URL, or an http:// one of this machine")
		}
		c.endpoint = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: cmp.Or(u.Path, "/")}
		break
	}
	if c.http == nil {
		// As many connections stay as items are scored at once.
		t := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: 5 * time.Second}
		c.http, c.own = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, t
	}
	return c, nil
}

// attributes are a claim's names in the table. Some are words of DynamoDB's
// expressions, so expressions have them as #k, #s, #o, #u and #e.
var names = map[string]string{"#s": "status", "#o": "owner"}

// The conditions of store.Table. An expression may use only what it names.
const (
	mayClaim    = "attribute_not_exists(#k) OR #e <= :s OR (#s = :p AND (#u <= :m OR #o = :o))"
	mayExtend   = "#o = :o AND #s = :p"
	mayComplete = "#o = :o"
)

// Claim is store.Table's.
func (t *Table) Claim(ctx context.Context, c *store.Claim, now time.Time) (*store.Claim, error) {
	for {
		there, err := t.put(ctx, c, mayClaim, with(names, "#k", "id", "#e", "expiration", "#u", "in_progress_expiration"),
			item{":o": text(c.Owner), ":p": text(string(store.InProgress)), ":s": number(now.Unix()), ":m": number(now.UnixMilli())})
		if err != nil || there == nil || there.Owner != "" {
			return there, err
		}
		if err := ctx.Err(); err != nil { // it was there, and has been released
			return nil, fault.New(fault.CodeOf(err), "dynamodb.Claim", c.Key, "%w", err)
		}
	}
}

// Update is store.Table's.
func (t *Table) Update(ctx context.Context, c *store.Claim) (*store.Claim, error) {
	if c.Status == store.Completed {
		return t.put(ctx, c, mayComplete, map[string]string{"#o": "owner"}, item{":o": text(c.Owner)})
	}
	return t.put(ctx, c, mayExtend, names, item{":o": text(c.Owner), ":p": text(string(store.InProgress))})
}

// put writes c if may holds. Otherwise it returns the claim that is there, or an
// empty one.
func (t *Table) put(ctx context.Context, c *store.Claim, may string, names map[string]string, values item) (*store.Claim, error) {
	_, err := t.client.call(ctx, "PutItem", c.Key, &request{
		TableName: t.name, Item: encode(c), ConditionExpression: may, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: "ALL_OLD",
	})
	refused, ok := err.(*conditionError)
	switch {
	case !ok:
		return nil, err
	case len(refused.item) > 0:
		return decode(c.Key, refused.item)
	}
	// A server that does not return it, or it is gone.
	got, err := t.client.call(ctx, "GetItem", c.Key, &request{TableName: t.name, Key: item{"id": text(c.Key)}, ConsistentRead: true})
	if err != nil {
		return nil, err
	}
	if len(got.Item) == 0 {
		return &store.Claim{}, nil
	}
	return decode(c.Key, got.Item)
}

// Release is store.Table's.
func (t *Table) Release(ctx context.Context, key, owner string) error {
	_, err := t.client.call(ctx, "DeleteItem", key, &request{
		TableName: t.name, Key: item{"id": text(key)}, ConditionExpression: mayExtend, ExpressionAttributeNames: names,
		ExpressionAttributeValues: item{":o": text(owner), ":p": text(string(store.InProgress))},
	})
	if _, ok := err.(*conditionError); ok {
		return nil
	}
	return err
}

// Close gives up the connections that stand idle.
func (t *Table) Close() error {
	if t.client.own != nil {
		t.client.own.CloseIdleConnections()
	}
	return nil
}

func with(m map[string]string, more ...string) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

func text(s string) attribute  { return attribute{S: &s} }
func number(n int64) attribute { s := strconv.FormatInt(n, 10); return attribute{N: &s} }

// encode is c as the table has it.
func encode(c *store.Claim) item {
	expires := c.Expires.Unix()
	if c.Expires.Nanosecond() > 0 {
		expires++
	}
	i := item{"id": text(c.Key), "status": text(string(c.Status)), "owner": text(c.Owner), "validation": text(c.Validation),
		"in_progress_expiration": number(c.Until.UnixMilli()), "expiration": number(expires)}
	if c.Object != "" {
		i["object"] = text(c.Object)
	}
	if c.Answer != nil {
		i["data"] = attribute{B: &c.Answer}
	}
	return i
}

// decode reads what a table has, which others may have written.
func decode(key string, i item) (*store.Claim, error) {
	fail := func(name string) (*store.Claim, error) {
		return nil, fault.New(fault.BadConfig, "dynamodb.Table", key, "want an item of a claim, got one without a fitting %q", name).
			WithHint("Use a table for claims alone.")
	}
	c := &store.Claim{Key: key}
	for name, to := range map[string]*string{"owner": &c.Owner, "validation": &c.Validation, "status": (*string)(&c.Status)} {
		if i[name].S == nil {
			return fail(name)
		}
		*to = *i[name].S
	}
	if c.Owner == "" {
		return fail("owner")
	}
	if c.Status != store.InProgress && c.Status != store.Completed {
		return fail("status")
	}
	for name, to := range map[string]*time.Time{"in_progress_expiration": &c.Until, "expiration": &c.Expires} {
		if i[name].N == nil {
			return fail(name)
		}
		n, err := strconv.ParseInt(*i[name].N, 10, 64)
		if err != nil {
			return fail(name)
		}
		if *to = time.UnixMilli(n).UTC(); name == "expiration" {
			*to = time.Unix(n, 0).UTC()
		}
	}
	if o := i["object"].S; o != nil {
		c.Object = *o
	}
	if b := i["data"].B; b != nil {
		c.Answer = *b
	}
	return c, nil
}
