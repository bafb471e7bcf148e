package isolate

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"godwit.dev/runtime/driver"
	"godwit.dev/runtime/fault"
)

// What the parent asks for on the control socket. All are answered but cancel
// and drop; the worker sends log unasked.
const (
	askStart  = "start"  // Memory: the limit of a canary, 0 for none
	askOpen   = "open"   // Session, Path, Options → Signature, Providers, Info
	askClose  = "close"  // Session, also one that is being opened
	askSettle = "settle" // answered when it is done
	askTrim   = "trim"   // Memory: the least that is given back; answered when it is
	askLane   = "lane"   // Lane, with its socket
	askMap    = "map"    // Segment and Size, with its file
	askDrop   = "drop"   // Segment
	askCancel = "cancel" // Lane, Seq
	sayLog    = "log"    // Log
)

// message is anything said on the control socket, as JSON after its length.
type message struct {
	ID        uint64            `json:"id,omitempty"` // of the question
	Kind      string            `json:"kind,omitempty"`
	Session   uint32            `json:"session,omitempty"`
	Segment   uint32            `json:"segment,omitempty"`
	Lane      uint32            `json:"lane,omitempty"`
	Seq       uint64            `json:"seq,omitempty"`
	Size      int64             `json:"size,omitempty"`
	Memory    int64             `json:"memory,omitempty"`
	Path      string            `json:"path,omitempty"`
	Options   *driver.Options   `json:"options,omitempty"`
	Signature *driver.Signature `json:"signature,omitempty"`
	Providers []string          `json:"providers,omitempty"`
	Info      *driver.Info      `json:"info,omitempty"`
	Fault     *told             `json:"fault,omitempty"`
	Log       *record           `json:"log,omitempty"`
}

// told is an error that crosses the socket.
type told struct {
	Code    fault.Code `json:"code"`
	Op      string     `json:"op,omitempty"`
	Subject string     `json:"subject,omitempty"`
	Text    string     `json:"text,omitempty"`
	Hint    string     `json:"hint,omitempty"`
}

func tell(err error) *told {
	t := &told{Code: fault.CodeOf(err), Text: err.Error(), Hint: fault.HintOf(err)}
	if e := fault.Of(err); e != nil {
		t.Op, t.Subject, t.Text = e.Op, e.Subject, ""
		if e.Err != nil {
			t.Text = e.Err.Error()
		}
	}
	return t
}

func (t *told) fault() *fault.Error {
	code := t.Code
	if !valid(code) {
		code = fault.Internal
	}
	e := fault.New(code, t.Op, t.Subject, "%s", t.Text)
	e.Hint = t.Hint
	return e
}

// maxControl bounds a control message: a signature with its metadata is the largest.
const maxControl = 16 << 20

// control is one end of the control socket. send may be called concurrently;
// receive has one caller.
type control struct {
	conn *net.UnixConn
	mu   sync.Mutex // of send
}

// newControl takes fd over.
func newControl(fd int) (*control, error) {
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("want a Unix socket, got %T", c)
	}
	return &control{conn: conn}, nil
}

func (c *control) close() { c.conn.Close() }

// send writes m and, with its first byte, the files.
func (c *control) send(m *message, files ...int) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > maxControl {
		return fmt.Errorf("a message of %d bytes, want at most %d", len(text), maxControl)
	}
	b := append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...)
	var oob []byte
	if len(files) > 0 {
		oob = unix.UnixRights(files...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _, err := c.conn.WriteMsgUnix(b, oob, nil)
	for sent := n; err == nil && sent < len(b); sent += n {
		n, err = c.conn.Write(b[sent:])
	}
	return err
}

// receive reads one message and the file that came with it, -1 if none did.
func (c *control) receive() (m *message, file int, err error) {
	var size [4]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := c.conn.ReadMsgUnix(size[:], oob)
	if err != nil {
		return nil, -1, err
	}
	file = received(oob[:oobn])
	defer func() {
		if err != nil && file >= 0 {
			unix.Close(file)
		}
	}()
	if err := c.fill(size[n:]); err != nil {
		return nil, -1, err
	}
	length := binary.LittleEndian.Uint32(size[:])
	if length > maxControl {
		return nil, -1, fmt.Errorf("a message of %d bytes, want at most %d", length, maxControl)
	}
	text := make([]byte, length)
	if err := c.fill(text); err != nil {
		return nil, -1, err
	}
	m = &message{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, -1, err
	}
	return m, file, nil
}

func (c *control) fill(b []byte) error {
	for len(b) > 0 {
		n, err := c.conn.Read(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// received is the first file of a control message, -1 without one; further ones are closed.
func received(oob []byte) int {
	file := -1
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1
	}
	for i := range all {
		fds, err := unix.ParseUnixRights(&all[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			if file < 0 {
				file = fd
			} else {
				unix.Close(fd)
			}
		}
	}
	return file
}
