package s3

import (
	"net/http"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		name, bucket string
		env          map[string]string
		want         string
	}{
		{"amazon", "acme", map[string]string{"AWS_REGION": "eu-west-1"}, "https://acme.s3.eu-west-1.amazonaws.com/a%20b/c%2B?list-type=2"},
		{"no region", "acme", nil, "https://acme.s3.us-east-1.amazonaws.com/a%20b/c%2B?list-type=2"},
		{"dots", "acme.rows", map[string]string{"AWS_DEFAULT_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/acme.rows/a%20b/c%2B?list-type=2"},
		{"china", "acme", map[string]string{"AWS_REGION": "cn-north-1"}, "https://acme.s3.cn-north-1.amazonaws.com.cn/a%20b/c%2B?list-type=2"},
		{"fips", "acme", map[string]string{"AWS_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"}, "https://acme.s3-fips.us-east-1.amazonaws.com/a%20b/c%2B?list-type=2"},
		{"dual stack", "acme", map[string]string{"AWS_REGION": "us-east-1", "AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://acme.s3.dualstack.us-east-1.amazonaws.com/a%20b/c%2B?list-type=2"},
		{"another's", "acme", map[string]string{"AWS_ENDPOINT_URL": "http://localhost:9000/s3/"}, "http://localhost:9000/s3/acme/a%20b/c%2B?list-type=2"},
		{"S3's own variable first", "acme", map[string]string{"AWS_ENDPOINT_URL": "http://other", "AWS_ENDPOINT_URL_S3": "http://localhost:9000"}, "http://localhost:9000/acme/a%20b/c%2B?list-type=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Opener(&Options{Getenv: func(name string) string { return c.env[name] }})(t.Context(), c.bucket)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if got := b.(*bucket).call("", http.MethodGet, "a b/c+", "list-type", "2").URL().String(); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// A bucket in another region says where it is.
func TestBucketIsFollowedToItsRegion(t *testing.T) {
	for _, c := range []struct {
		name, is, endpoint string
		status             int
		again              bool
	}{
		{"elsewhere", "eu-west-1", "", http.StatusMovedPermanently, true},
		{"elsewhere, to HEAD", "eu-west-1", "", http.StatusBadRequest, true},
		{"here", "us-east-1", "", http.StatusForbidden, false},
		{"no region", "", "", http.StatusForbidden, false},
		{"no name of a region", "evil.example/", "", http.StatusMovedPermanently, false},
		{"not there", "eu-west-1", "", http.StatusNotFound, false},
		{"not Amazon's", "eu-west-1", "http://localhost:9000", http.StatusMovedPermanently, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := Opener(&Options{Getenv: func(name string) string { return map[string]string{"AWS_ENDPOINT_URL": c.endpoint}[name] }})(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			b := o.(*bucket)
			got := b.again(t.Context(), &http.Response{StatusCode: c.status, Header: http.Header{"X-Amz-Bucket-Region": {c.is}}})
			if want := map[bool]string{true: c.is, false: "us-east-1"}[c.again]; got != c.again || *b.region.Load() != want {
				t.Errorf("got %v and region %q, want %v and %q", got, *b.region.Load(), c.again, want)
			}
		})
	}
}
