package isolate

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// pipe is one end of a lane: a socket on which questions and answers take
// turns. Reading blocks the thread instead of going through the poller, which
// saves two wake-ups for each run; a thread waits in C for an engine as well.
type pipe struct {
	fd  int
	buf []byte
}

func newPipe(fd int) *pipe { return &pipe{fd: fd, buf: make([]byte, 4<<10)} }

func (p *pipe) close() { unix.Close(p.fd) }

func (p *pipe) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(p.fd, b, nil, nil, noSignal)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// read waits for one message. The payload is valid until the next read. io.EOF
// says that the other process is gone.
func (p *pipe) read() (kind byte, payload []byte, err error) {
	have, want := 0, header
	for have < want {
		n, err := unix.Read(p.fd, p.buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil && err != unix.ECONNRESET:
			return 0, nil, err
		case n <= 0 || err != nil:
			return 0, nil, io.EOF
		}
		have += n
		if want == header && have >= header {
			size := binary.LittleEndian.Uint32(p.buf)
			if size > maxMessage {
				return 0, nil, fmt.Errorf("a message of %d bytes, want at most %d", size, maxMessage)
			}
			if want += int(size); want > len(p.buf) {
				p.buf = append(p.buf, make([]byte, want-len(p.buf))...)
			}
		}
	}
	if have > want {
		return 0, nil, fmt.Errorf("%d bytes after the message", have-want)
	}
	return p.buf[4], p.buf[header:want], nil
}
