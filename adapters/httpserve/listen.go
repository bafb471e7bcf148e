package httpserve

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"

	"godwit.dev/runtime/fault"
)

// Listen opens a TCP listener on "host:port"; an empty host is every address
// of the machine, IPv4 and IPv6, and port 0 a free one. Errors: Usage, for
// anything about the address that the one who gave it can change.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	bad := func(hint, format string, args ...any) error {
		return fault.New(fault.Usage, "httpserve.Listen", strconv.Quote(address), format, args...).WithHint("%s", hint)
	}
	const form = "Give a host and a port, as in 127.0.0.1:8080, [::1]:8080 or :8080."
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, bad(form, "want host:port, %s", reason(err))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, bad(form, "want a port from 0 to 65535, got %q", port)
	}
	var config net.ListenConfig
	ln, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	var dns *net.DNSError
	switch {
	case err == nil:
		return ln, nil
	case ctx.Err() != nil:
		return nil, fault.New(fault.CodeOf(ctx.Err()), "httpserve.Listen", strconv.Quote(address), "%w", ctx.Err())
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, bad("Stop the program that listens there, or choose another port; port 0 takes a free one.", "port %s is taken", port)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return nil, bad("Ports below 1024 need privileges on most machines; choose a higher one.", "not allowed to listen on port %s", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return nil, bad("Use an address of this machine, or :"+port+" for all of them, IPv4 and IPv6.", "this machine has no address %q", host)
	case errors.As(err, &dns):
		return nil, bad("Use an address of this machine, or :"+port+" for all of them, IPv4 and IPv6.", "no such host %q", host)
	}
	return nil, bad(form, "%w", err)
}

// reason is what is wrong with an address, without repeating the address.
func reason(err error) string {
	var addr *net.AddrError
	if errors.As(err, &addr) {
		return addr.Err
	}
	return err.Error()
}
