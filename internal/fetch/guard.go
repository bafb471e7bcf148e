package fetch

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"godwit.dev/runtime/fault"
)

// PrivateHosts is the variable that lets models come from addresses that are
// not public.
const PrivateHosts = "GODWIT_MODEL_PRIVATE_HOSTS"

// guard says which addresses may be connected to.
type guard struct {
	hosts    map[string]bool // lower-case names and names with a port, that may have private addresses
	prefixes []netip.Prefix  // of private addresses that may be used
}

// newGuard reads names, names with a port, addresses and prefixes of addresses,
// separated by commas. Errors: BadConfig.
func newGuard(list string) (*guard, error) {
	g := &guard{hosts: map[string]bool{}}
	for one := range strings.SplitSeq(list, ",") {
		one = strings.ToLower(strings.TrimSpace(one))
		if one == "" {
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(one, "[]")); err == nil && a.Zone() == "" {
			a = a.Unmap()
			g.prefixes = append(g.prefixes, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if p, err := netip.ParsePrefix(one); err == nil {
			g.prefixes = append(g.prefixes, p.Masked())
			continue
		}
		host := one
		if name, port, err := net.SplitHostPort(one); err == nil {
			if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return nil, badHost(one)
			}
			host = name
		}
		if host == "" || strings.ContainsAny(host, "/:*@[] ") {
			return nil, badHost(one)
		}
		g.hosts[one] = true
	}
	return g, nil
}

func badHost(one string) error {
	return fault.New(fault.BadConfig, "fetch.Get", PrivateHosts, "want host names, with a port or without, addresses or prefixes as 10.0.0.0/8, separated by commas, got %q", one)
}

// special are the blocks that IANA's registries of special-purpose addresses do
// not call globally reachable, beside what is outside of 2000::/3. Read 2026-11.
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's own address for what a virtual machine is told
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

var (
	global = netip.MustParsePrefix("2000::/3")
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // an IPv4 address, where a network has IPv6 alone
)

// public reports whether a is an address of the public Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if a.Zone() != "" {
		return false
	}
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// allow refuses an address that host, as it stands in a URL, may not have. A
// host that was allowed by its name may have any private address but one that
// machines are told their secrets at.
func (g *guard) allow(host, port string, a netip.Addr) error {
	plain := a.Unmap()
	if public(a) {
		return nil
	}
	for _, p := range g.prefixes {
		if p.Contains(plain) {
			return nil
		}
	}
	host = strings.ToLower(host)
	named := g.hosts[host] || g.hosts[net.JoinHostPort(host, port)]
	if named && (plain.IsLoopback() || plain.IsPrivate() && plain != ec2Secrets) {
		return nil
	}
	return fault.New(fault.BadConfig, "fetch.Get", host, "want a public address, got %s", a).
		WithHint("Name the host or the address in %s if it is yours.", PrivateHosts)
}

// ec2Secrets is EC2's metadata service over IPv6, which is in a private block.
var ec2Secrets = netip.MustParseAddr("fd00:ec2::254")

// dial connects to an address that is allowed. It is checked after the name was
// looked up, on the address that is connected to: what the name means a moment
// earlier or later makes no difference.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if f.redirected != nil {
		address = f.redirected(address)
	}
	d := &net.Dialer{Timeout: f.o.Connect, Resolver: f.o.Resolver}
	d.Control = func(network, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" {
			return fault.New(fault.BadConfig, "fetch.Get", host, "want an address of TCP, got %s %q", network, address)
		}
		return f.guard.allow(host, port, at.Addr())
	}
	return d.DialContext(ctx, network, address)
}

// follow checks a redirect before it is followed.
func follow(req *http.Request, via []*http.Request) error {
	u := req.URL
	refuse := func(format string, args ...any) error {
		return fault.New(fault.BadConfig, "fetch.Get", via[0].URL.Host, format, args...)
	}
	switch {
	case len(via) > 5:
		return refuse("want at most 5 redirects, got one more")
	case u.Scheme != "https":
		return refuse("want a redirect to https://, got one to %q", u.Scheme)
	case u.User != nil:
		return refuse("want a redirect without a user or password")
	}
	if err := checkHost(u); err != nil {
		return refuse("want a redirect to a host: %w", err)
	}
	// The host that a request came from is nobody's business, and may be a
	// signed URL.
	req.Header.Del("Referer")
	return nil
}
