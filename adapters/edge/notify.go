package edge

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"godwit.dev/runtime/fault"
)

// Service tells systemd how the process is, as sd_notify(3) and
// sd_watchdog_enabled(3) describe it.
type Service struct {
	conn     *net.UnixConn // nil: nobody wants to know
	watchdog time.Duration // between two signs of life; 0: none are wanted
	log      *slog.Logger
}

// NewService finds out by NOTIFY_SOCKET whether systemd wants to know, and by
// WATCHDOG_USEC how often. A variable that was meant for the process with
// another id, pid being ours, is left alone. The caller closes it. Errors:
// BadConfig.
func NewService(getenv func(string) string, pid int, log *slog.Logger) (*Service, error) {
	s := &Service{log: log}
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return s, nil
	}
	if path[0] != '/' && path[0] != '@' { // "@" is an abstract socket's, for Go as well
		return nil, fault.New(fault.BadConfig, "edge.NewService", "NOTIFY_SOCKET", "want a path or @NAME, got %q", path)
	}
	if usec := getenv("WATCHDOG_USEC"); usec != "" {
		n, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || n <= 0 || n > int64(1<<63-1)/int64(time.Microsecond) {
			return nil, fault.New(fault.BadConfig, "edge.NewService", "WATCHDOG_USEC", "want a number of microseconds, got %q", usec)
		}
		if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
			s.watchdog = time.Duration(n) * time.Microsecond
		}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fault.New(fault.BadConfig, "edge.NewService", "NOTIFY_SOCKET", "want systemd's socket: %w", err)
	}
	s.conn = conn
	return s, nil
}

// Close closes the socket.
func (s *Service) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// statusEvery is how often systemd is told what there is to say where it waits
// for no signs of life.
const statusEvery = 10 * time.Second

// Run tells systemd that the service is ready, then gives signs of life at half
// the time that it waits for them, as long as ready returns nil, and when ctx
// ends says that the service stops, and returns. A service that is not ready any
// more is so ended and started again by systemd, if its unit says WatchdogSec.
//
// What status returns, one line, is shown by systemctl status, and followed
// while it changes; status may be nil.
func (s *Service) Run(ctx context.Context, ready func() error, status func() string) {
	if s.conn == nil {
		return
	}
	told := ""
	say := func(state string) {
		if status != nil {
			if now := status(); now != told {
				state += "\nSTATUS=" + strings.ReplaceAll(now, "\n", " ")
				told = now
			}
		}
		if state = strings.TrimPrefix(state, "\n"); state != "" {
			s.tell(state)
		}
	}
	say("READY=1")
	defer s.tell("STOPPING=1")
	tick := time.NewTicker(max(cmp.Or(s.watchdog/2, statusEvery), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sign := ""
		if s.watchdog > 0 {
			if err := ready(); err != nil {
				s.log.WarnContext(ctx, "no sign of life: the service is not ready", "error", err)
			} else {
				sign = "WATCHDOG=1"
			}
		}
		say(sign)
	}
}

// tell sends one message. Whoever does not listen is not told.
func (s *Service) tell(state string) {
	if _, err := s.conn.Write([]byte(state)); err != nil {
		s.log.Warn("systemd could not be told", "state", state, "error", err)
	}
}
